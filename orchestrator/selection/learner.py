"""What waits to be learned from, and what learning finds out on the way."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.agent import Agent

from .drift import DriftMonitor, DriftSignal
from .estimation import Estimate, competence
from .handbook import Handbook
from .journal import Step
from .learning import Observation, credited, forget, learn
from .standing import standings


@dataclass(frozen=True, slots=True)
class Learned:
    """What a batch of outcomes led to."""

    handbook: Handbook
    agents: frozenset[str]
    """Those whose record changed."""
    skills: frozenset[str]
    """Those in which the record of others grew older."""
    outcomes: int
    step: Step | None = None
    """The same learning, to be done again on another version of the handbook; `None` for nothing."""


class Learner:
    """Takes outcomes in at once, and learns from them when asked to."""

    def __init__(self) -> None:
        self._pending: deque[Observation] = deque()
        self._signals: deque[DriftSignal] = deque(maxlen=1000)
        self._drift = DriftMonitor()

    def note(self, observation: Observation) -> None:
        """Keep an outcome until it is learned from; from any thread."""
        self._pending.append(observation)

    def learn(self, handbook: Handbook, agents: Mapping[str, Agent], evidence: float) -> Learned:
        """The handbook after everything that waits; the record of an agent that has drifted is believed less."""
        batch: list[Observation] = []
        while self._pending:
            batch.append(self._pending.popleft())
        drifted: set[str] = set()
        dear = standings(agents.values())
        declared: dict[str, Mapping[str, float]] = {name: agent.skills for name, agent in agents.items()}
        for seen in batch:
            skills, standing = declared.get(seen.agent, {}), dear.get(seen.agent, 0.0)
            drifted |= self._watch(seen, competence(seen.agent, skills, seen.demand, handbook, standing), evidence)
        step = _learning(tuple(batch), tuple(sorted(agents)), tuple(sorted(drifted))) if batch else None
        handbook = step(handbook) if step else handbook
        touched = frozenset(skill for seen in batch for skill in credited(seen.demand, handbook))
        return Learned(handbook, frozenset(seen.agent for seen in batch), touched, len(batch), step)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to learn from."""
        return bool(self._pending)

    def signals(self) -> tuple[DriftSignal, ...]:
        """Drift found since the last time this was asked."""
        found: list[DriftSignal] = []
        while self._signals:
            found.append(self._signals.popleft())
        return tuple(found)

    def _watch(self, seen: Observation, known: Estimate, evidence: float) -> set[str]:
        """The agent of an outcome, when its outcomes have drifted; every signal is kept for `signals`."""
        found = self._drift.observe(seen, known.mean if known.evidence >= evidence else None)
        self._signals.extend(found)
        return {signal.agent for signal in found if signal.metric == "outcome"}


def _learning(batch: tuple[Observation, ...], present: tuple[str, ...], drifted: tuple[str, ...]) -> Step:
    """Learning from a batch, and believing less of who has drifted."""

    def step(handbook: Handbook) -> Handbook:
        handbook = learn(handbook, batch, present)
        for agent in drifted:
            handbook = forget(handbook, agent)
        return handbook

    return step
