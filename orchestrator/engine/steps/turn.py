"""`WaitForTurn`: the wait before an attempt, unless another route has become cheaper than the wait."""

from typing import Final

from orchestrator.core.price import PICO
from orchestrator.engine.planning.compare import compare
from orchestrator.engine.planning.waits import MIN_WAIT
from orchestrator.engine.run import Run
from orchestrator.graph.tool import Tool
from orchestrator.health.status import seconds

from .result import NotStarted

MOST_DEFERRALS: Final = 5
"""How often a tool may be replaced by another route because of its wait in one run."""
ROOM_SECONDS: Final = 0.05
"""Seconds between two checks whether a failing or recovering tool may get another call."""


class WaitForTurn:
    """The waits of one step: a `Retry-After`, a back-off, a queue, and the limited calls of a recovering tool."""

    def __init__(self, run: Run, tool: Tool) -> None:
        self._run = run
        self._tool = tool
        self._decided = False
        """Whether a decision to wait was just made."""
        self._waited_for_room = 0.0

    def decided(self) -> None:
        """Note a decision to retry, which included the wait, so that it is not compared again."""
        self._decided = True

    async def turn(self) -> NotStarted | None:
        """Wait until the tool may be called; returns a reason when another route should be used instead."""
        run, name, health = self._run, self._tool.name, self._run.runtime.health
        if name in run.state.allowed:
            return None
        while True:
            wait = max(health.wait(name), run.own_waits().get(name, 0.0) if run.not_before else 0.0)
            if run.last_resort and health.account_refused(name):
                wait = max(wait, health.probe_wait(name) or 0.0)
            queue = run.runtime.queues(run.state.run_id).get(name, 0.0) if run.runtime.limits else 0.0
            if wait < MIN_WAIT and queue < MIN_WAIT:
                return None
            if not self._decided:
                refusal = self._refusal(wait, queue)
                if refusal is not None:
                    return refusal
            self._decided = False
            if wait < MIN_WAIT:
                return None  # it queues for a slot, in order
            await run.runtime.clock.sleep(wait)

    def _refusal(self, wait: float, queue: float) -> NotStarted | None:
        """Why another route is used: the wait is too long, or the other route is cheaper."""
        run, name = self._run, self._tool.name
        if run.cancelled is not None or name in run.state.doubt:
            return None
        left = run.account.seconds_left()
        late = left is not None and wait >= left
        if late or wait > run.runtime.policy.retries.max_retry_after:
            return NotStarted(f"it can be called again in {seconds(wait)}", usable_later=self._defer())
        found = compare(run, name, wait)
        if not found.other_is_cheaper or found.other is None or not self._defer():
            return None
        why = f"a wait of {seconds(max(wait, queue))} makes it dearer than {found.route} at ${found.other / PICO:.6g}"
        return NotStarted(why, usable_later=True)

    def _defer(self) -> bool:
        deferrals = self._run.deferrals
        deferrals[self._tool.name] = count = deferrals.get(self._tool.name, 0) + 1
        return count <= MOST_DEFERRALS

    async def for_room(self) -> bool:
        """Wait briefly for a tool that has as many calls as allowed; False when there is another route."""
        run, runtime = self._run, self._run.runtime
        left = run.account.seconds_left()
        most = (
            runtime.policy.retries.max_retry_after
            if left is None
            else min(left, runtime.policy.retries.max_retry_after)
        )
        if run.cancelled is not None:
            return False
        if self._waited_for_room >= most:
            run.hold_back(self._tool.name, self._waited_for_room)  # at least as long again, for all that is known
            return False
        if self._waited_for_room == 0 and compare(run, self._tool.name, ROOM_SECONDS).other_is_cheaper:
            run.hold_back(self._tool.name, ROOM_SECONDS)  # the next plan has the same prices
            return False
        self._waited_for_room += ROOM_SECONDS
        await runtime.clock.sleep(ROOM_SECONDS)
        return True


__all__ = ["WaitForTurn"]
