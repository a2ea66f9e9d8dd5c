"""The terminal sink: a line per call and decision, what is in flight on a terminal, and a reader that goes away."""

import io
from typing import Any

import pytest
from rich.console import Console

from orchestrator import Event, Goal, Orchestrator, RunContext, Tool, Unavailable, tool
from orchestrator.core.enums import Effect
from orchestrator.core.events import CallStarted, Progressed
from orchestrator.observability.progress import ProgressSink, lines_of
from orchestrator.testing import FakeClock, fail


@tool(gives="text")
def broken(document: str) -> str:
    """Always down."""
    raise Unavailable("[red]down\x07")


@tool(gives="text", cost=0.5)
def sound(document: str) -> str:
    """Always up."""
    return document


class Heard:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        """Take one event."""
        self.events.append(event)


def ran(goal: str | Goal[Any], *tools: Tool, **options: Any) -> list[str]:
    """The plain lines of a run."""
    heard = Heard()
    orc = Orchestrator(tools, clock=FakeClock(), **options)
    orc.add_sink(heard)
    orc.run_sync(goal, {"document": "x"})
    return [" ".join(line.split()) for line in lines_of(heard.events)]


def test_a_healed_run() -> None:
    lines = ran("text", broken, sound)
    assert lines[0].startswith("→ route broken $0.00")
    assert lines[1] == "✗ broken outage: [red]down"
    assert lines[2].startswith("↻ reroute sound $0.5")
    assert lines[3] == "✓ sound 0 ms $0.50"


def test_a_retry_and_a_demotion() -> None:
    lines = ran("text", fail(sound, times=1, error="transient"))
    assert any(line.startswith("↻ retry sound: ") for line in lines)
    lines = ran(Goal("text", demotions=["document"]), broken)
    assert "◐ demote to document" in lines


def test_an_undone_effect() -> None:
    @tool(gives="booking", effect="write", compensate=lambda output: None)
    def book(document: str) -> str:
        return document

    @tool(gives="trip")
    def travel(booking: str) -> str:
        raise Unavailable("no train")

    lines = ran("trip", book, travel)
    assert "↩ book undone" in lines
    assert any(line.startswith("! escalate stop: No route to trip") for line in lines)


def test_children_are_indented() -> None:
    @tool(gives="outer")
    async def outer(document: str, ctx: RunContext) -> str:
        return str((await ctx.reach("text", {"document": document + "!"})).value)

    stream = io.StringIO()
    orc = Orchestrator([outer, sound], clock=FakeClock())
    orc.add_sink(ProgressSink(Console(file=stream, width=200)))
    orc.run_sync("outer", {"document": "x"})
    lines = stream.getvalue().splitlines()
    assert [line[:3] for line in lines] == ["→ r", "  →", "  ✓", "✓ o"]


def test_what_is_in_flight_is_shown_on_a_terminal_only() -> None:
    stamp = {"run_id": "r", "at": 0.0}
    started = CallStarted(**stamp, call_id="c", tool="slow\x1b[2J", attempt=1, effect=Effect.READ, keys=())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    reported = Progressed(**stamp, tool="slow\x1b[2J", progress="half [b]way")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for live in (True, False):
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=live, width=100)
        sink = ProgressSink(console)
        sink.on_event(started)
        sink.on_event(reported)
        with console.capture() as captured:
            console.print(sink._shown())  # pyright: ignore[reportPrivateUsage]
        sink.close()
        assert "half [b]way" in captured.get()
        assert "\x1b[2J" not in captured.get()
        assert stream.getvalue() == ""


@pytest.mark.parametrize("error", [BrokenPipeError(), SystemExit(1)])
def test_a_reader_that_goes_away_does_not_stop_the_run(error: BaseException) -> None:
    class Gone(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            raise error

    orc = Orchestrator([sound], clock=FakeClock())
    orc.add_sink(ProgressSink(Gone(file=io.StringIO())))
    assert orc.run_sync("text", {"document": "x"}).status == "reached"
