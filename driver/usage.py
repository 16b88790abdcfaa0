"""The error for a command or a call that can't be carried out as it was asked for."""

from __future__ import annotations


class UsageError(Exception):
    """What was asked for can't be done: a missing file, an unknown name, an array that does not fit."""
