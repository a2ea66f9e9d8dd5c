"""`CallPart`: a call within a call: of a member of an ensemble, or of an agent's own tool."""

from typing import Any

from orchestrator.core.context import SubCall
from orchestrator.core.enums import PartKind
from orchestrator.core.events import PartEnded
from orchestrator.engine.run import Run
from orchestrator.graph.tool import Tool
from orchestrator.health.failures.classify import classify
from orchestrator.health.failures.retry_after import is_rate_limit, retry_after_of


class CallPart(SubCall):
    """A call within a call of a run."""

    def __init__(
        self, run: Run, tool: str, call_id: str, name: str, kind: PartKind, label: str, *, anyway: bool = False
    ) -> None:
        self._run = run
        self._tool = tool
        self._call_id = call_id
        self._name = name
        self._kind = kind
        self._owner = part_owner(call_id, label)
        self._open = True
        self._began = run.runtime.clock.monotonic()
        self.refused = "" if anyway else self._refused()
        if self.refused:
            self._open = False
            self._emit(ok=False, left_out=self.refused)
        self._count(1)

    def _count(self, by: int) -> None:
        """Count the call of a tool for the budget when it starts: several of one turn may be in flight at once."""
        if self._kind is PartKind.TOOL and self._open:
            self._run.account.count_parts(by)

    def _refused(self) -> str:
        """Why it may not be called now; empty when it may."""
        if self._kind is PartKind.TOOL:
            return self._run.account.out_of_calls()
        health = self._run.runtime.health
        health.poll()
        admission = health.admit(self._name, self._owner, self._run.last_resort)
        return "" if admission.ok else admission.reason or "its circuit is open"

    def ended(self, error: Exception | None = None, *, usd: float = 0.0, of: Tool | None = None) -> None:
        """Note its end, with an error or none; `usd`: its cost; `of`: the member whose call it was."""
        if not self._open:
            return
        self._count(-1)
        self._open = False
        runtime = self._run.runtime
        kind = None
        if error is not None:
            whose = of or self._run.view.tools[self._tool]
            kind = classify(error, whose, started=of is not None, table=runtime.failures)
        event = self._emit(ok=error is None, cost=usd, failure=kind, error=type(error).__name__ if error else "")
        if self._kind is PartKind.MEMBER:
            runtime.health.record(
                self._name,
                error is None,
                kind,
                event.seconds,
                usd,
                retry_after=None if error is None else retry_after_of(error, runtime.clock.time()),
                rate_limited=error is not None and is_rate_limit(error),
                message=event.error,
                owner=self._owner,
            )

    def dropped(self) -> None:
        """Note that it was cancelled or asked a person: it says nothing about health."""
        if self._open and self._kind is PartKind.MEMBER:
            self._run.runtime.health.release(self._name, self._owner)
        self._count(-1)
        self._open = False

    def _emit(self, **what: Any) -> PartEnded:
        event = PartEnded(
            **self._run.stamp(),
            call_id=self._call_id,
            tool=self._tool,
            part=self._name,
            kind=self._kind,
            seconds=max(0.0, self._run.runtime.clock.monotonic() - self._began),
            **what,
        )
        self._run.emit_from_anywhere(event)
        return event


def part_owner(call_id: str, label: str) -> str:
    """The owner of the probe lease of a part's member."""
    return f"{call_id}/{label}"


__all__ = ["CallPart", "part_owner"]
