"""`ReplayContext`, where the run stood at a decision, and the findings of a check."""

from dataclasses import dataclass, field

from orchestrator.core.decision import Decision
from orchestrator.core.events import RungAsked
from orchestrator.core.policy import Policy
from orchestrator.engine.state import RunState
from orchestrator.graph.revision import GraphRevision


@dataclass(frozen=True, slots=True)
class Finding:
    """One respect in which a decision does not come out as recorded."""

    what: str
    """What differs: the route, a price, the answer, a reason ..."""
    recorded: str
    recomputed: str
    why: str = ""


@dataclass(frozen=True)
class ReplayContext:
    """Where a run stood before a decision, by the records before it."""

    state: RunState
    view: GraphRevision
    policy: Policy
    other: bool = False
    """Whether the policy is another than the one in force then: only other choices count, not other prices."""
    rungs: tuple[RungAsked, ...] = ()
    """Rungs that were asked since the decision before."""
    question: str | None = None
    """What a person was asked last."""
    plans: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Decision -> the route that comes out now: what the choices of agents after it follow from."""

    def decided(self, decision_id: str) -> Decision | None:
        """An earlier decision."""
        return next((d for d in self.state.decisions if d.id == decision_id), None)


def compared(what: str, recorded: object, recomputed: object, why: str = "") -> list[Finding]:
    """A finding unless both are equal."""
    return [] if recorded == recomputed else [Finding(what, readable_thing(recorded), readable_thing(recomputed), why)]


def readable_thing(thing: object) -> str:
    """A thing as people read it."""
    if isinstance(thing, tuple | list):
        parts: list[object] = [*thing]  # pyright: ignore[reportUnknownArgumentType]
        return ", ".join(map(readable_thing, parts)) or "none"
    if isinstance(thing, float):
        return f"{thing:.12g}"
    return "none" if thing is None else str(thing)
