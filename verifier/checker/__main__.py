"""The checker as a program: `python -IS FOLDER model.gpc`, or the same of the folder as a zip; nothing is installed."""

import gc
import sys
from importlib import import_module
from types import ModuleType

gc.disable()  # nothing that a check makes refers to itself, and how much it makes is bounded
name = __package__ or "gradproof_checker"
if not __package__:  # run as a folder or a zip: make it a package, so that its parts find each other
    sys.modules[name] = package = ModuleType(name)
    package.__path__ = [sys.path.pop(0)]

sys.exit(import_module(f"{name}.main").main(sys.argv[1:]))
