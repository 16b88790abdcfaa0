"""Codes of the gate: its settings, and what keeps it from finishing with a file."""

from __future__ import annotations

from gradproof.codes import Code


class Settings(Code):
    r"""A setting of `[tool.gradproof]` that is unknown, or has a value that it can't have.

    ## Why
    A misspelt setting would be a gate that is open without anybody knowing.

    ## Example
    ```python
    from pathlib import Path
    from gradproof.gate.config import read
    Path("pyproject.toml").write_text('[tool.gradproof]\ntimeuot = 5\n')
    read(Path("pyproject.toml"))
    ```

    ## Instead
    ```python
    from pathlib import Path
    from gradproof.gate.config import read
    Path("pyproject.toml").write_text('[tool.gradproof]\ntimeout = 5\n')
    assert read(Path("pyproject.toml")).timeout == 5
    ```
    """

    code = "G-CONFIG"


class Changed(Code):
    """A file changed while the gate proved it.

    ## Why
    What was proved of the old text says nothing of the new one, so nothing is said of either. Run the gate again.

    ## Example
    ```python
    from gradproof.gate.schedule import Schedule
    from gradproof.grammar.source import Source
    failed = []
    schedule = Schedule(["a.gproof"], 5.0, 1, lambda path: Source(path, ""), failed.append)
    job = schedule.next("worker")
    schedule.answered(job, {"changed": True})
    raise failed[0].report().error
    ```

    ## Instead
    ```python
    import gradproof as gp
    from pathlib import Path
    Path("a.gproof").write_text("fn twice(x) = 2 * x")
    report = gp.verify("a.gproof")
    ```
    """

    code = "G-CHANGED"


class Crashed(Code):
    """A worker was lost, twice, while it read a file: it crashed, was killed, or ran out of time or memory.

    ## Why
    A worker that is lost while it proves is told as an unknown of the claim that it was at, and the rest goes on. One
    that can't even read the file says nothing of it. A smaller file, a larger `memory` or `timeout` may help.

    ## Example
    ```python
    from gradproof.gate.schedule import Schedule
    from gradproof.grammar.source import Source
    failed = []
    schedule = Schedule(["a.gproof"], 5.0, 1, lambda path: Source(path, ""), failed.append)
    while not failed:
        schedule.lost(schedule.next("worker"), None, "it was killed")
    raise failed[0].report().error
    ```

    ## Instead
    ```python
    import gradproof as gp
    from pathlib import Path
    Path("a.gproof").write_text("fn twice(x) = 2 * x")
    report = gp.verify("a.gproof")
    ```
    """

    code = "G-CRASH"


class Missing(Code):
    """A file has no certificate beside it, and `certificates = true` wants one.

    ## Why
    Who takes the repository's programs without a compiler loads their certificates; one that was never built is missed
    there, and not here. The command that builds it is printed.

    ## Example
    ```python
    from gradproof.gate.certified import digest_beside, missing
    if not digest_beside("a.gproof"):
        raise missing("a.gproof")
    ```

    ## Instead
    ```python
    from gradproof.certificates import build
    from gradproof.gate.certified import digest_beside, missing
    build("fn twice(x) = 2 * x", "a.gpc")
    if not digest_beside("a.gproof"):
        raise missing("a.gproof")
    ```
    """

    code = "G-MISSING"


class Stale(Code):
    """The certificate beside a file is not that of the file as it is now.

    ## Why
    Who loads the certificate runs what it holds, and not what the source says. The source, a file that it uses, or the
    version of gradproof is another; the command that builds it again is printed.

    ## Example
    ```python
    from gradproof.certificates import build
    from gradproof.gate.certified import problem_of
    from gradproof.pipeline import load
    content = build("fn twice(x) = 2 * x").content
    raise problem_of("a.gproof", content, load("fn twice(x) = 3 * x"), True)
    ```

    ## Instead
    ```python
    from gradproof.certificates import build
    from gradproof.gate.certified import problem_of
    from gradproof.pipeline import load
    content = build("fn twice(x) = 2 * x").content
    assert problem_of("a.gproof", content, load("fn twice(x) = 2*x"), True) is None
    ```
    """

    code = "G-STALE"


class Refused(Code):
    """The checker refuses the certificate beside a file.

    ## Why
    It was cut off or edited, or it has a claim that rests on a solver's word, which `allow-trusted = true` accepts.

    ## Example
    ```python
    from gradproof.certificates import build
    from gradproof.gate.certified import problem_of
    from gradproof.pipeline import load
    content = build("fn twice(x) = 2 * x").content
    raise problem_of("a.gproof", content[:-20], load("fn twice(x) = 2 * x"), True)
    ```

    ## Instead
    ```python
    from gradproof.certificates import build
    from gradproof.gate.certified import problem_of
    from gradproof.pipeline import load
    content = build("fn twice(x) = 2 * x").content
    assert problem_of("a.gproof", content, load("fn twice(x) = 2 * x"), True) is None
    ```
    """

    code = "G-REFUSED"
