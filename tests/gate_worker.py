"""A worker of the gate that misbehaves at one obligation: `MISCHIEF CODE` before the worker's own arguments."""

from __future__ import annotations

import os
import signal
import sys
import time

from gradproof.gate import worker
from gradproof.gate.wire import Data

KEPT: list[bytearray] = []


def misbehave(mischief: str) -> None:
    match mischief:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            print("this is what it said last", file=sys.stderr, flush=True)
            os._exit(7)
        case "hang":
            time.sleep(1000)
        case "memory":
            while True:
                KEPT.append(bytearray(64 << 20))
        case "raise":
            raise ZeroDivisionError("a fault of ours")
        case "print":
            os.write(1, b"a library that prints\n")


def main() -> int:
    mischief, code, *rest = sys.argv[1:]
    sys.argv[1:] = rest
    settle, outline = worker.Desk.settle, worker.Desk.outline

    def watched(desk: worker.Desk, task: worker.Task, job: Data, say: worker.Say) -> list[Data]:
        def listen(event: Data) -> None:
            say(event)
            if event["at"].startswith(f"{code}:"):
                misbehave(mischief)

        return settle(desk, task, job, listen)

    def read(desk: worker.Desk, key: tuple[str, int, float]) -> Data:
        if code == "outline" and "bad" in key[0]:
            misbehave(mischief)
        return outline(desk, key)

    worker.Desk.settle = watched  # type: ignore[method-assign]
    worker.Desk.outline = read  # type: ignore[method-assign]
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
