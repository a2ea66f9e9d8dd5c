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
    """The result of learning from a batch of outcomes."""

    handbook: Handbook
    agents: frozenset[str]
    """Agents whose record changed."""
    skills: frozenset[str]
    """Skills in which the records of other agents have aged."""
    outcomes: int
    step: HandbookUpdate | None = None
    """The learning step, to be repeated on another version of the handbook; `None` if nothing was learned."""


class Learner:
    """Queues outcomes at once, and learns from them on request."""

    def __init__(self) -> None:
        self.pending: deque[Observation] = deque()
        """Queued outcomes."""
        self.found: deque[DriftSignal] = deque(maxlen=1000)
        """Drift that `signals` has not returned yet."""
        self._raised: set[tuple[str, str]] = set()
        """Drift, by agent and metric, that was found here and is not recorded in a run yet."""

    def note(self, observation: Observation) -> None:
        """Queue an outcome; callable from any thread."""
        self.pending.append(observation)

    def learn(self, handbook: Handbook, agents: Mapping[str, Agent], evidence: float) -> Learned:
        """The handbook after all queued outcomes; the record of an agent that has drifted is reduced."""
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
        """Whether outcomes are queued."""
        return bool(self.pending)

    @property
    def alarmed(self) -> bool:
        """Whether `signals` has drift to return."""
        return bool(self.found)

    def merge_drift(self, handbook: Handbook) -> None:
        """Merge the drift that any process has stored in a handbook."""
        for found in handbook.drifted:
            if (found.agent, found.metric) not in self._raised:
                self._raised.add((found.agent, found.metric))
                self.found.append(found)

    def acknowledge_drift(self, agent: str) -> None:
        """Mark the drift of an agent as recorded; a later drift is reported again."""
        self._raised = {(name, metric) for name, metric in self._raised if name != agent}

    def signals(self) -> tuple[DriftSignal, ...]:
        """Drift found since the last call."""
        found: list[DriftSignal] = []
        while self.found:
            found.append(self.found.popleft())
        return tuple(found)


@dataclass(frozen=True)
class LearningStep:
    """A repeatable step: learn from a batch, detect drift, reduce the records of agents that have drifted."""

    batch: tuple[Observation, ...]
    declared: Mapping[str, Mapping[str, float]]
    """Agent -> its declared competence, for the registered agents."""
    relative_price: Mapping[str, float]
    evidence: float
    """Number of calls behind an expectation from which outcomes are compared with it."""

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
    """The step that removes an agent's drift from a handbook after a run has recorded it."""
    return lambda handbook: handbook.with_drift_recorded(agent)
