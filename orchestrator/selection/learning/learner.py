"""`Learner`: queues observations of agents, learns from them in batches, and reports drift."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.agents.agent import Agent
from orchestrator.selection.competence.estimation import competence
from orchestrator.selection.competence.priors import relative_prices
from orchestrator.selection.skills.changelog import HandbookUpdate
from orchestrator.selection.skills.handbook import Handbook

from .cusum import DriftSignal
from .drift import watch
from .updates import Observation, credited, forget, learn


@dataclass(frozen=True, slots=True)
class Learned:
    """What a batch of outcomes led to."""

    handbook: Handbook
    agents: frozenset[str]
    """Those whose record changed."""
    skills: frozenset[str]
    """Those in which the record of others grew older."""
    outcomes: int
    step: HandbookUpdate | None = None
    """The same learning, to be done again on another version of the handbook; `None` for nothing."""


class Learner:
    """Takes outcomes in at once, and learns from them when asked to."""

    def __init__(self) -> None:
        self.pending: deque[Observation] = deque()
        """Outcomes to be learned from."""
        self.found: deque[DriftSignal] = deque(maxlen=1000)
        """Drift that nobody has asked for."""
        self._raised: set[tuple[str, str]] = set()
        """Drift, by agent and metric, that was found here and is not on the record of a run yet."""

    def note(self, observation: Observation) -> None:
        """Keep an outcome until it is learned from; from any thread."""
        self.pending.append(observation)

    def learn(self, handbook: Handbook, agents: Mapping[str, Agent], evidence: float) -> Learned:
        """The handbook after everything that waits; the evidence about an agent that has drifted is reduced."""
        batch: list[Observation] = []
        while self.pending:
            batch.append(self.pending.popleft())
        if not batch:
            return Learned(handbook, frozenset(), frozenset(), 0)
        declared: dict[str, Mapping[str, float]] = {name: agent.skills for name, agent in sorted(agents.items())}
        step = LearningStep(tuple(batch), declared, relative_prices(agents.values()), evidence)
        handbook = step(handbook)
        self.merge_drift(handbook)
        touched = frozenset(skill for seen in batch for skill in credited(seen.demand, handbook))
        return Learned(handbook, frozenset(seen.agent for seen in batch), touched, len(batch), step)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to learn from."""
        return bool(self.pending)

    @property
    def alarmed(self) -> bool:
        """Whether drift was found that has not been read."""
        return bool(self.found)

    def merge_drift(self, handbook: Handbook) -> None:
        """Merge the drift that a handbook records, found by any process."""
        for found in handbook.drifted:
            if (found.agent, found.metric) not in self._raised:
                self._raised.add((found.agent, found.metric))
                self.found.append(found)

    def acknowledge_drift(self, agent: str) -> None:
        """Mark the drift of an agent as recorded; a later drift is reported again."""
        self._raised = {(name, metric) for name, metric in self._raised if name != agent}

    def signals(self) -> tuple[DriftSignal, ...]:
        """Drift found since the last time this was asked."""
        found: list[DriftSignal] = []
        while self.found:
            found.append(self.found.popleft())
        return tuple(found)


@dataclass(frozen=True)
class LearningStep:
    """Learning from a batch, watching for drift, believing less of who has drifted: a step that can be done again."""

    batch: tuple[Observation, ...]
    declared: Mapping[str, Mapping[str, float]]
    """Agent -> its declared competence, of the agents that are present."""
    relative_price: Mapping[str, float]
    evidence: float
    """Calls that an expectation rests on before outcomes are held against it."""

    def __call__(self, handbook: Handbook) -> Handbook:
        """The next version of a handbook."""
        watched = dict(handbook.watched)
        found: list[DriftSignal] = []
        for seen in self.batch:
            watched[seen.agent], signals = watch(watched.get(seen.agent, {}), seen, self._expected(seen, handbook))
            found += signals
        made = learn(handbook, self.batch, tuple(self.declared))
        for agent in sorted({signal.agent for signal in found if signal.metric == "outcome"}):
            made = forget(made, agent)
        return made.with_watch(watched, found)

    def _expected(self, seen: Observation, handbook: Handbook) -> float | None:
        skills, relative_price = self.declared.get(seen.agent, {}), self.relative_price.get(seen.agent, 0.0)
        known = competence(seen.agent, skills, seen.demand, handbook, relative_price)
        return known.mean if known.evidence >= self.evidence else None


def mark_drift_recorded(agent: str) -> HandbookUpdate:
    """The step that takes the drift of an agent off a handbook: it is on the record of a run."""
    return lambda handbook: handbook.with_drift_recorded(agent)
