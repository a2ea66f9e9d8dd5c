"""`Progress`: a run that repeats itself, or makes no progress."""

from collections.abc import Iterable
from typing import ClassVar

from orchestrator.core.calls.options import checked
from orchestrator.core.enums import SignalAction
from orchestrator.core.events import CallStarted, Event

from .facts import MonitorFacts, RunFacts
from .signal import WHOLE_RUN, Signal


class Progress:
    """Halts a run that called one tool `repeats` times without any key getting its first value since.

    A tool whose own `retries`, or whose policy's, allow more calls than that gets them.

    A run without events for `still` seconds is reported to people; it is halted if no call is in flight, because then
    no event will follow. A run that waits for a person is ignored.
    """

    interval = 5.0

    woken_by: ClassVar[tuple[type[Event], ...]] = (CallStarted,)

    @checked()
    def __init__(self, repeats: int = 25, still: float = 300.0, name: str = "progress") -> None:
        self.name = name
        self._repeats = repeats
        self._still = still

    def wakes(self, event: Event) -> bool:
        """Is called at once when a tool was called that often."""
        return isinstance(event, CallStarted) and event.attempt >= self._repeats

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Signals of kind `loop` and `still`."""
        found = (self._signal(facts.runs[run_id], facts) for run_id in sorted(facts.runs))
        return [signal for signal in found if signal is not None]

    def _signal(self, run: RunFacts, facts: MonitorFacts) -> Signal | None:
        repeats = max(self._repeats, 3 * (facts.policy.retries.attempts + 1))
        for tool, times in sorted(run.repeated.items()):
            known = facts.tools.get(tool)
            allowed = (known.retries or 0) + 1 if known is not None else 0
            if times >= max(repeats, allowed + 1):
                reason = f"{tool} was called {times} times and nothing came of it"
                return Signal(WHOLE_RUN, "loop", 0.9, SignalAction.HALT, reason=reason, run_id=run.run_id)
        quiet = facts.now - run.last_event
        if run.waiting or quiet < self._still:
            return None
        busy = sorted(tool for tool, count in run.in_flight.items() if count > 0)
        reason = f"nothing has happened for {quiet:.0f} s"
        if busy:
            return Signal(WHOLE_RUN, "still", 0.5, reason=f"{reason}; {', '.join(busy)} runs", run_id=run.run_id)
        return Signal(WHOLE_RUN, "still", 0.5, SignalAction.HALT, reason=reason, run_id=run.run_id)
