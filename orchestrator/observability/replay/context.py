"""`ReplayContext`: the state of a run at a decision; and the findings of a check."""

from dataclasses import dataclass, field

from orchestrator.core.decision import Decision
from orchestrator.core.events import RungAsked
from orchestrator.core.policy import Policy
from orchestrator.engine.state import RunState
from orchestrator.graph.revision import GraphRevision


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between a recomputed and a recorded decision."""

    what: str
    """What differs: the route, a price, the answer, a reason ..."""
    recorded: str
    recomputed: str
    why: str = ""


@dataclass(frozen=True)
class ReplayContext:
    """The state of a run before a decision, folded from the records before it."""

    state: RunState
    view: GraphRevision
    policy: Policy
    other: bool = False
    """Whether the policy differs from the recorded one: then only changed choices are findings, not changed prices."""
    rungs: tuple[RungAsked, ...] = ()
    """Rungs that were asked since the previous decision."""
    question: str | None = None
    """The last question to a person."""
    plans: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Decision -> the recomputed route, on which later agent selections are based."""

    def decided(self, decision_id: str) -> Decision | None:
        """An earlier decision."""
        return next((d for d in self.state.decisions if d.id == decision_id), None)


def compared(what: str, recorded: object, recomputed: object, why: str = "") -> list[Finding]:
    """A finding unless both are equal."""
    return [] if recorded == recomputed else [Finding(what, readable_thing(recorded), readable_thing(recomputed), why)]


def readable_thing(thing: object) -> str:
    """A value as text for people."""
    if isinstance(thing, tuple | list):
        parts: list[object] = [*thing]  # pyright: ignore[reportUnknownArgumentType]
        return ", ".join(map(readable_thing, parts)) or "none"
    if isinstance(thing, float):
        return f"{thing:.12g}"
    return "none" if thing is None else str(thing)
