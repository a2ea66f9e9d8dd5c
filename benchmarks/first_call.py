"""How far it is from `orc.run` to the tool's first line: Python calls, and files they are in.

    python benchmarks/first_call.py [--list]

Counts every call of a function of `orchestrator` between the call of `orc.run` and the first line of the tool, for a
read tool and an in-memory store, with warm caches (the second run). `--list` prints the files and functions.
"""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import orchestrator
from orchestrator import Orchestrator, tool

PACKAGE = str(Path(orchestrator.__file__).parent)


class Counting:
    """Counts calls of the package's own functions while it is on."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Take one profile event."""
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            self.calls[frame.f_code.co_filename[len(PACKAGE) + 1 :], frame.f_code.co_qualname] += 1

    @property
    def files(self) -> list[str]:
        """The files that were passed through."""
        return sorted({file for file, _ in self.calls})


async def count() -> Counting:
    """Calls from `orc.run` to the first line of the tool."""
    counting = Counting()

    @tool(gives="answer")
    async def answer(question: str) -> str:
        sys.setprofile(None)
        return question

    async with Orchestrator([answer]) as orc:
        await orc.run("answer", {"question": "warm"})
        sys.setprofile(counting)
        try:
            await orc.run("answer", {"question": "measured"})
        finally:
            sys.setprofile(None)
    return counting


def main() -> None:
    """Print the counts."""
    counting = asyncio.run(count())
    print(f"{sum(counting.calls.values())} calls in {len(counting.files)} files")
    if "--list" in sys.argv:
        for (file, name), times in sorted(counting.calls.items()):
            print(f"{times:4} {file}: {name}")


if __name__ == "__main__":
    main()
