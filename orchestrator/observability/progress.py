"""`ProgressSink`: live progress of a run on a terminal; plain lines in a pipe."""

import time
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from orchestrator.core.decision import Decision
from orchestrator.core.enums import DecisionKind
from orchestrator.core.events import (
    CallEnded,
    CallStarted,
    Decided,
    EffectUndone,
    Event,
    Progressed,
    RunEnded,
    RungAsked,
    RunStarted,
    RunWaiting,
)
from orchestrator.core.text import duration, plain, shortened, usd
from orchestrator.observability.explain.sentences import kind_words, path

_NAME = 22
"""Columns for a tool's name."""


class ProgressSink:
    """Writes a line per ended call and per decision; on a terminal also the calls in flight, with a spinner."""

    def __init__(self, console: Console, *, live: bool | None = None) -> None:
        self._console = console
        self._depth: dict[str, int] = {}
        self._doing: dict[str, _CallInFlight] = {}
        wanted = console.is_terminal if live is None else live
        self._live = Live(console=console, transient=True, get_renderable=self._shown) if wanted else None
        self._open = 0

    def on_event(self, event: Event) -> None:
        """Handle one event."""
        if isinstance(event, RunStarted):
            self._depth[event.run_id] = event.depth
            self._begin()
        line = line_of(event)
        if line is not None:
            indent = "  " * self._depth.get(event.run_id, 0)
            self._write(Text(indent).append_text(line))
        self._note(event)
        if isinstance(event, RunEnded | RunWaiting):
            self._end()

    def close(self) -> None:
        """Stop the live display."""
        if self._live is not None and self._live.is_started:
            self._live.stop()

    def _write(self, line: Text) -> None:
        """Write a line; when the pipe is closed, the run continues without output, although Rich would end the
        program.
        """
        try:
            self._console.print(line, soft_wrap=True)
        except (BrokenPipeError, SystemExit):
            self._console.quiet = True

    def _begin(self) -> None:
        self._open += 1
        if self._live is not None and not self._live.is_started:
            self._live.start()

    def _end(self) -> None:
        self._open = max(0, self._open - 1)
        if not self._open:
            self.close()

    def _note(self, event: Event) -> None:
        if isinstance(event, CallStarted):
            self._doing[event.call_id] = _CallInFlight(event.tool, event.run_id)
        elif isinstance(event, CallEnded):
            self._doing.pop(event.call_id, None)
        elif isinstance(event, Progressed):
            for doing in self._doing.values():
                if (doing.run_id, doing.tool) == (event.run_id, event.tool):
                    doing.progress = plain(event.progress, 60)

    def _shown(self) -> RenderableType:
        return Group(*(doing.row() for doing in list(self._doing.values())))


class _CallInFlight:
    """A call in flight."""

    def __init__(self, tool: str, run_id: str) -> None:
        self.tool, self.run_id = tool, run_id
        self.progress = ""
        self._since = time.monotonic()
        self._spinner = Spinner("dots")

    def row(self) -> RenderableType:
        """The spinner, the tool, its duration so far, and its last report."""
        text = Text(f"{_name(self.tool)} {duration(time.monotonic() - self._since)}", "dim")
        if self.progress:
            text.append(f"  {self.progress}")
        self._spinner.update(text=text, style="cyan")
        return self._spinner


def line_of(event: Event) -> Text | None:
    """The line of an event; `None` for most events."""
    if isinstance(event, Decided):
        return _decided(event.decision)
    if isinstance(event, CallEnded):
        return _ended(event)
    if isinstance(event, EffectUndone):
        if event.ok:
            return _line("↩", "yellow", event.tool, "undone")
        return _line("✗", "red", event.tool, f"could not be undone: {plain(event.reason, 200)}")
    if isinstance(event, RungAsked):
        return _line("?", "cyan", event.rung, plain(event.answer, 200))
    return None


def _decided(decision: Decision) -> Text | None:
    price = "" if decision.price is None else f"  {usd(decision.price)}"
    match decision.kind:
        case DecisionKind.ROUTE:
            return _line("→", "bold", "route", f"{plain(path(decision), 300)}{price}")
        case DecisionKind.REROUTE if decision.chosen_tools:
            return _line("↻", "bold yellow", "reroute", f"{plain(path(decision), 300)}{price}")
        case DecisionKind.BRANCH:
            return _line("→", "bold", "branch", f"{plain(path(decision), 300)}{price}")
        case DecisionKind.RETRY:
            return _line("↻", "yellow", "retry", plain(f"{decision.subject}: {decision.reason}", 300))
        case DecisionKind.DEMOTE:
            return _line("◐", "yellow", "demote", plain(f"to {decision.chosen}", 300))
        case DecisionKind.ESCALATE | DecisionKind.HALT:
            return _line("!", "bold red", str(decision.kind), plain(f"{decision.chosen}: {decision.reason}", 300))
        case DecisionKind.RESUME:
            return _line("→", "bold", "resume", plain(decision.chosen, 300))
        case DecisionKind.RECONCILE:
            return _line("↻", "yellow", "reconcile", plain(f"{decision.subject}: {decision.reason}", 300))
        case _:
            return None


def _ended(event: CallEnded) -> Text | None:
    if event.failure is not None:
        return _line("✗", "red", event.tool, plain(f"{kind_words(event.failure.kind)}: {event.failure.message}", 300))
    if event.ok:
        price = f"  {usd(event.cost)}" if event.cost else ""
        return _line("✓", "green", event.tool, f"{duration(event.seconds)}{price}")
    return None


def _line(mark: str, style: str, name: str, text: str) -> Text:
    return Text.assemble((f"{mark} ", style), _name(name), " ", text)


def _name(name: str) -> str:
    return shortened(plain(name), 40).ljust(_NAME)


def lines_of(events: Iterable[Event]) -> list[str]:
    """The plain lines of events, as written to a pipe."""
    return [line.plain for event in events if (line := line_of(event)) is not None]
