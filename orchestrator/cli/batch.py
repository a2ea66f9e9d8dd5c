"""One goal for many values: a bounded number of concurrent runs, a line for each when it ends, one progress bar."""

import asyncio
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from typing_extensions import override

from orchestrator.api import Orchestrator
from orchestrator.core.enums import Status
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.text import counted, duration, plain, shortened, usd
from orchestrator.engine.options import RunOptions
from orchestrator.observability.explain.summary import healed, trail
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow, Seal

from .result import MARKS, durable, run_json, trail_text
from .screen import Exit, debugging, exit_of, hanging, screen, worst, write_json
from .values import Given

_SLOW = 3.0
"""Seconds after which a slow run is named on the progress line."""
_WIDEST = 36
"""Columns for a name, at most."""


@dataclass(frozen=True)
class Ended:
    """The result for one value."""

    name: str
    exit: Exit
    outcome: Outcome[Any] | None = None
    error: str = ""
    row: RunRow | None = None
    """The row of the run, with the head of its ledger; for programs."""


class _Slowest(ProgressColumn):
    """The value whose run takes longest, once it takes some seconds."""

    def __init__(self, running: dict[str, float]) -> None:
        super().__init__()
        self._running = running

    @override
    def render(self, task: Task) -> Text:
        now = time.monotonic()
        name, began = min(self._running.copy().items(), key=lambda each: each[1], default=("", now))
        if now - began < _SLOW:
            return Text()
        return Text(f"{shortened(name, _WIDEST)}: {duration(now - began)}", "dim")


class Batch:
    """Shows many runs as they end. It is a context manager that removes the bar at the end."""

    def __init__(self, given: Given, *, as_json: bool = False) -> None:
        self.given = given
        self.names = short_names([str(value) for value in given.over])
        self.ended: list[Ended | None] = [None] * len(given.over)
        self.as_json = as_json
        self.newest: Seal | None = None
        """The newest seal of the chain over runs, when all have ended."""
        self.running: dict[str, float] = {}
        """Values with live runs, and the start times of these."""
        self._written = 0
        self._console = screen()
        self._width = min(_WIDEST, max(map(len, self.names), default=0))
        self._bar = Progress(
            TextColumn("  "),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            _Slowest(self.running),
            console=self._console,
            transient=True,
            disable=as_json or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("runs", total=len(given.over))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if not self.as_json and error is None:
            self._print(self._summary())
            if self.newest is not None:
                ledger_line = f"  ledger: {counted(self.newest.n, 'run')} sealed, head {self.newest.hash}"
                self._print(Text(ledger_line, "dim"))

    @property
    def done(self) -> int:
        """Number of ended runs."""
        return sum(ended is not None for ended in self.ended)

    @property
    def exit(self) -> Exit:
        """The worst exit status of all."""
        return worst(ended.exit for ended in self.ended if ended is not None)

    def begin(self, index: int) -> None:
        """Note the start of a run."""
        self.running[self.names[index]] = time.monotonic()

    def end(self, index: int, ended: Ended) -> None:
        """Show an ended run: a line on a terminal or in a pipe; for programs an object, in the order of the inputs."""
        self.running.pop(self.names[index], None)
        self.ended[index] = ended
        self._bar.advance(self._task)
        if not self.as_json:
            self._print(self.line(ended))
            return
        while self._written < len(self.ended) and (ready := self.ended[self._written]) is not None:
            write_json(ended_json(ready, str(self.given.over[self._written])), lines=True)
            self._written += 1

    def line(self, ended: Ended) -> Text:
        """`✓ scan.pdf   pypdf ✗ no words in it → pdfminer ✗ → ocr ✓`."""
        outcome = ended.outcome
        mark, style = MARKS[outcome.status] if outcome else ("✗", "bold red")
        name = shortened(ended.name, self._width).ljust(self._width)
        result_line = self._line_of(ended, outcome) if outcome else Text(f"error: {plain(ended.error, 200)}", "red")
        return Text.assemble(
            (f"{mark} ", style), (name, "bold"), "  ", hanging(result_line, self._width + 4, self._console)
        )

    def _line_of(self, ended: Ended, outcome: Outcome[Any]) -> Text:
        text = trail_text(trail(outcome.calls), ended.name)
        if outcome.status is Status.DEMOTED:
            text.append(f"  demoted to {plain(outcome.goal.name)}", "yellow")
        elif outcome.status is Status.ESCALATED:
            why = plain(outcome.impasse.message if outcome.impasse else "stopped", 200)
            text.append(f"\nescalated: {why}", "red")
        elif outcome.status is Status.WAITING and outcome.questions:
            text.append(f"\nwaits: {plain(outcome.questions[0].text, 200)}", "cyan")
        return text

    def _summary(self) -> Text:
        outcomes = [ended.outcome for ended in self.ended if ended is not None and ended.outcome is not None]
        count = {status: sum(outcome.status is status for outcome in outcomes) for status in Status}
        parts = [f"{count[status]} {status}" for status in Status if count[status]]
        broken = sum(ended is not None and ended.outcome is None for ended in self.ended)
        parts += [counted(broken, "error")] if broken else []
        healings = sum(outcome.ok and healed(trail(outcome.calls)) for outcome in outcomes)
        parts += [f"{healings} healed on the way"] if healings else []
        parts.append(f"{usd(sum(outcome.cost for outcome in outcomes))} spent")
        parts.append(f"{duration(sum(outcome.seconds for outcome in outcomes))} of work")
        return Text("  " + " · ".join(parts), "dim")

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


async def run_batch(
    orc: Orchestrator, goal: Goal[Any], batch: Batch, options: RunOptions | None = None, *, jobs: int = 4
) -> Exit:
    """Run the goal for every value, `jobs` at a time; an error in one does not stop the others."""
    turns = asyncio.Semaphore(jobs)
    given = batch.given

    async def one(index: int, value: Any) -> None:
        async with turns:
            batch.begin(index)
            try:
                outcome = await orc.run(goal, {**given.values, str(given.each): value}, **(options or {}))
            except OrchestratorError as error:
                batch.end(index, Ended(batch.names[index], Exit.BAD_INPUT, error=str(error)))
            except Exception as error:
                if debugging():
                    traceback.print_exception(error)
                problem = f"{type(error).__name__}: {error}"
                batch.end(index, Ended(batch.names[index], Exit.UNEXPECTED, error=problem))
            else:
                row = await asyncio.to_thread(durable, orc.store, outcome.run_id) if batch.as_json else None
                batch.end(index, Ended(batch.names[index], exit_of(outcome.status), outcome, row=row))

    order = range(len(given.over)) if jobs == 1 else largest_first(given.over)
    async with asyncio.TaskGroup() as group:  # interrupted, it waits until the runs under way have ended
        for index in order:
            group.create_task(one(index, given.over[index]))
    batch.newest = await asyncio.to_thread(_newest_seal, orc.store, batch)
    return batch.exit


def largest_first(values: Sequence[Any]) -> list[int]:
    """The indices of values in the order of their start: the largest file first, so that none large is left at the end.

    Longest processing time first (Graham 1969); equal ones in the given order.
    """

    def size(place: int) -> int:
        value = values[place]
        try:
            return value.stat().st_size if isinstance(value, Path) else 0
        except (OSError, ValueError):
            return 0

    return sorted(range(len(values)), key=size, reverse=True)


def _newest_seal(store: Store, batch: Batch) -> Seal | None:
    """The newest seal of these runs: it anchors all of them, and those before."""
    ids = [ended.outcome.run_id for ended in batch.ended if ended is not None and ended.outcome is not None]
    if batch.as_json or not ids or durable(store, ids[-1]) is None:
        return None
    seals = [seal for run_id in ids for seal in store.seals(run_id=run_id)]
    return max(seals, key=lambda seal: seal.n, default=None)


def ended_json(ended: Ended, given: str) -> dict[str, Any]:
    """The JSON of one of many runs: as of a single run, with the value of its key; an error if there was no run."""
    if ended.outcome is not None:
        return run_json(ended.outcome, given, ended.row)
    return {
        "schema": "orchestrator.run/1",
        "run_id": None,
        "status": "error",
        "exit_status": int(ended.exit),
        "each": given,
        "error": ended.error,
    }


def short_names(values: list[str]) -> list[str]:
    """Names for the values: file names if these differ, else the values as given."""
    names = [plain(Path(value).name or value) for value in values]
    return names if len(set(names)) == len(names) else [plain(value) for value in values]
