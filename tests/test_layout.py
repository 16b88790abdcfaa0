"""The house: layers, packages, what an import loads, and who may call whom."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("grammar", "compiler", "runtime", "verifier", "driver")
MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py") if "__pycache__" not in path.parts)
CHECKER = ROOT / "verifier" / "checker"
STEPS = ("where", "sub", "mul", "div", "neg")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions; `from a import b` gives a and a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1 and path.parent == CHECKER:
                names |= {f".{node.module}" if node.module else f".{alias.name}" for alias in node.names}
                continue
            assert node.level == 0, f"{path}: a relative import"
            assert node.module
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer_of(module: str) -> str | None:
    """The folder that an imported gradproof module lies in."""
    parts = module.split(".")
    if parts[0] != "gradproof":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else "driver"


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_left(path: Path) -> None:
    own = LAYERS.index(path.relative_to(ROOT).parts[0])
    upward = {name for name in imports(path) if (layer := layer_of(name)) and LAYERS.index(layer) > own}
    assert upward == set()


# Modules that import each other all the same, and why.
CIRCLES = {
    frozenset({"gradproof", "gradproof.certificates"}): "the package names what it offers, and holds the version",
    frozenset({"gradproof.report", "gradproof.report.text"}): "str(report) is its text; every format prints the data",
    frozenset({"gradproof.verifier.checker.graphs", "gradproof.verifier.checker.loops"}): (
        "a graph holds loops whose bodies are graphs; an annotation, for which the checker shall not grow"
    ),
}


def module_name(path: Path) -> str:
    """The name that a file is imported by."""
    layer, *inside = path.relative_to(ROOT).with_suffix("").parts
    parts = ["gradproof", *([] if layer == "driver" else [layer]), *inside]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph() -> dict[str, set[str]]:
    """The modules that each module imports: at the top, inside functions, and for annotations alone."""
    names = {module_name(path): path for path in MODULES}
    graph: dict[str, set[str]] = {}
    for own, path in names.items():
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                package = own.rsplit(".", 1)[0] if node.level else ""
                base = ".".join(part for part in (package, node.module) if part)
                # `from package import name` needs the module of that name, or what the package itself holds.
                parts = {f"{base}.{alias.name}" for alias in node.names}
                found |= {part if part in names else base for part in parts}
        graph[own] = (found & names.keys()) - {own}
    return graph


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The sets of two or more modules of which each imports each other one, by whatever way."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        stack = [start]
        while stack:
            new = graph[stack.pop()] - seen
            seen |= new
            stack += new
        reached[start] = seen
    return {
        frozenset({other for other in reached[own] if own in reached[other]}) for own in graph if own in reached[own]
    }


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles(graph) == {frozenset("abc"), frozenset("de")}
    known = import_graph()
    assert "gradproof.verifier.checker.sums" in known["gradproof.verifier.checker.vanishing"]  # a relative import
    assert "gradproof.verifier.smt" in known["gradproof.verifier.bijections"]  # inside a function
    assert "gradproof.pipeline" in known["gradproof"]  # for annotations alone


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(import_graph()) == set(CIRCLES)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), "no docstring"


def test_bare_folder_names_are_never_imported() -> None:
    files = [*MODULES, *(p for folder in ("tests", "benchmarks", "examples") for p in (ROOT / folder).rglob("*.py"))]
    bad = {(str(p.relative_to(ROOT)), n) for p in files for n in imports(p) if n.split(".")[0] in LAYERS}
    assert bad == set()
    assert not set(LAYERS) & set(sys.modules)


def test_the_checker_stands_alone() -> None:
    """It imports the standard library and its own modules, nothing of what it checks."""
    for path in CHECKER.glob("*.py"):
        outside = {n.split(".")[0] for n in imports(path) if not n.startswith(".")} - sys.stdlib_module_names
        assert outside == set(), path.name
    assert sum(len(path.read_text().splitlines()) for path in CHECKER.glob("*.py")) <= 6800


def test_packages_are_the_folders() -> None:
    folders = {path.parent for path in MODULES if path.name == "__init__.py"}
    table = PYPROJECT["tool"]["setuptools"]["package-dir"]
    assert {ROOT / folder for folder in table.values()} == folders
    assert set(table) == set(PYPROJECT["tool"]["setuptools"]["packages"])
    for name, folder in table.items():
        inside = "" if folder == "driver" else "." + folder.removeprefix("driver/").replace("/", ".")
        assert name == f"gradproof{inside}"


def test_every_module_lies_in_a_package() -> None:
    assert [p for p in MODULES if not (p.parent / "__init__.py").exists()] == []


def test_data_files_are_listed() -> None:
    import fnmatch

    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]
    data = [p for layer in LAYERS for p in (ROOT / layer).rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    assert data
    for path in data:
        package = next(parent for parent in path.parents if (parent / "__init__.py").exists())
        name = str(path.relative_to(package))
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name


def test_one_version() -> None:
    import gradproof

    assert PYPROJECT["project"]["version"] == gradproof.__version__


def test_import_loads_nothing_heavy() -> None:
    heavy = "('z3', 'numpy', 'lark', 'flint', 'argparse', 'importlib.metadata', 'gradproof.compiler')"
    assert run_python(f"import sys, gradproof; print([m for m in {heavy} if m in sys.modules])") == "[]\n"


def test_the_compiler_loads_no_numpy_and_no_z3() -> None:
    code = (
        "import sys, gradproof.compiler.library as l; l.prelude();"
        "print([m for m in ('z3', 'numpy') if m in sys.modules])"
    )
    assert run_python(code) == "[]\n"


def test_only_smt_imports_z3() -> None:
    users = {str(p.relative_to(ROOT)) for p in MODULES if any(n.split(".")[0] == "z3" for n in imports(p))}
    assert users == {"verifier/smt.py"}


def test_only_second_imports_cvc5() -> None:
    users = {str(p.relative_to(ROOT)) for p in MODULES if any(n.split(".")[0] == "cvc5" for n in imports(p))}
    assert users == {"verifier/second.py"}
    code = "import sys, gradproof as gp; gp.verify('fn f(x) = x*x'); print('cvc5' in sys.modules)"
    assert run_python(code) == "False\n"


def test_only_discharge_issues_certificates() -> None:
    callers = {str(p.relative_to(ROOT)) for p in MODULES if "gradproof.compiler.claims.issue" in imports(p)}
    assert callers == {"verifier/discharge.py"}
    texts = {str(p.relative_to(ROOT)): p.read_text() for p in MODULES}
    indirect = {name for name, text in texts.items() if "claims.issue" in text or "_SEAL" in text}
    assert indirect <= {"verifier/discharge.py", "compiler/claims.py"}


def test_no_operator_is_named_in_python() -> None:
    """Operators are text: a string in Python that is an operator's name would be a special case.

    Left aside are the names that mean something else too: scalar functions and binders (`exp`, `max`), the language's
    own words and signs (`where`, `stretch`), array steps (`mul`), and NumPy's functions, to which steps are lowered.
    """
    import numpy as np
    from gradproof.compiler.functions import FUNCTIONS
    from gradproof.compiler.library import prelude
    from gradproof.compiler.terms import KINDS

    words = {op.split("[")[0].split("(")[0] for op in prelude().ops}
    words -= {*FUNCTIONS, *KINDS, *dir(np), *prelude().infix, *STEPS}
    assert len(words) > 30
    found = {
        (str(path.relative_to(ROOT)), node.value)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in words
    }
    assert found == set()
