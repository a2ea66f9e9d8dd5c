"""`Selector`: chooses the agent of a step by its demand, the competence of each agent, and the price."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from typing_extensions import Unpack

from orchestrator.agents.agent import Agent
from orchestrator.core.calls.options import checked
from orchestrator.core.errors import DefinitionError, InputError, nearest
from orchestrator.core.policy import Policy
from orchestrator.core.process.forks import new_rlock
from orchestrator.graph.price_table import PriceFacts, Pricing
from orchestrator.selection.competence.estimation import Estimate, competence
from orchestrator.selection.learning.cusum import DriftSignal
from orchestrator.selection.learning.learner import Learned, Learner, mark_drift_recorded
from orchestrator.selection.learning.updates import Observation, Spent
from orchestrator.selection.skills.changelog import Journal, changed
from orchestrator.selection.skills.handbook import Handbook

from .constraints import Constraints, dialled, refused_positions
from .demand import Demand
from .demand_inference import SkillIndex
from .embedding import Embedding
from .exploration import Exploration, ExplorationRound, Onboarding, Turns
from .pool import BaseFacts, Bools, Costs, Pool
from .result import Selection, Snapshot, no_agent_reason
from .scoring import Counting, Judged


class SelectorOptions(TypedDict, total=False):
    """How a selector prices, explores, and tries newcomers; all are optional."""

    policy: Policy
    pricing: Pricing | None
    """A price formula instead of the policy's."""
    constraints: Constraints
    """Constraints on every selection, in addition to those of a single one."""
    exploration: Exploration | None
    """Default: no exploration, always the best estimate."""
    onboarding: Onboarding
    embedding: Embedding | None
    """The embedding by which demands are inferred from texts; default: `HashedEmbedding()`."""
    base: BaseFacts | None
    """The price facts of an agent without its competence (with its health, for example); default: declared and observed
    values.
    """


@dataclass(frozen=True)
class SelectorSettings:
    """The options, all of them."""

    policy: Policy = field(default_factory=Policy)
    pricing: Pricing | None = None
    constraints: Constraints = field(default_factory=Constraints)
    exploration: Exploration | None = None
    onboarding: Onboarding = field(default_factory=Onboarding)
    embedding: Embedding | None = None
    base: BaseFacts | None = None


Demanded = Demand | str | Iterable[str] | Mapping[str, float] | None


class Selector:
    """Chooses agents by price, learns from outcomes, and explains every selection.

    `Selector([writer, summariser], policy=Policy.load("balanced")).select({"summarise": 1})`. Options are those of
    `SelectorOptions`. The same agents, handbook and turn give the same selection, independent of insertion order.
    """

    @checked()
    def __init__(
        self, agents: Iterable[Agent] = (), *, handbook: Handbook | None = None, **options: Unpack[SelectorOptions]
    ) -> None:
        self.options = SelectorSettings(**options)
        self._known: tuple[Handbook, Pool | None] = (handbook or Handbook(), None)
        self._agents: dict[str, Agent] = {}
        self._counting = Counting(self.options.exploration, self.options.onboarding)
        self._turns = Turns(self.options.onboarding.share)
        self._turns.go_on_from(self.handbook.turns)
        self._index: SkillIndex | None = None
        self._learner = Learner()
        self._journal: Journal | None = None
        self._turns_stored = 0
        self._lock = new_rlock()
        for agent in agents:
            self.add(agent)

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents to choose among, by name."""
        return self._agents

    @property
    def handbook(self) -> Handbook:
        """The current handbook, without pending outcomes."""
        return self._known[0]

    @handbook.setter
    def handbook(self, handbook: Handbook) -> None:
        with self._lock:
            if self._journal is not None:
                self._journal.note(changed(self.handbook.diff(handbook), handbook))
            self._known = (handbook, None)

    @checked()
    def add(self, agent: Agent) -> None:
        """Add an agent. Raises `DefinitionError` for a name that is taken, or an object that is no agent."""
        if not isinstance(agent, Agent):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"A selector chooses among agents, not {agent!r}.")
        with self._lock:
            if agent.name in self._agents:
                raise DefinitionError(f"There is an agent {agent.name!r} already.")
            self._agents = {**self._agents, agent.name: agent}
            self._known = (self.handbook, None)

    @checked()
    def remove(self, name: str) -> None:
        """Remove an agent; its profile is kept. Raises `DefinitionError` for an unknown name."""
        with self._lock:
            if name not in self._agents:
                raise DefinitionError(f"There is no agent {name!r}.{nearest(name, self._agents)}")
            self._agents = {other: agent for other, agent in self._agents.items() if other != name}
            self._known = (self.handbook, None)

    def turn(self) -> ExplorationRound:
        """The next turn, for a selection that is made elsewhere: record it, and pass it to `facts`."""
        return self._turns.next()

    def estimate(self, agent: Agent, demand: Demanded) -> Estimate:
        """The expected competence of an agent under a demand."""
        handbook, pool = self._current()
        return competence(agent.name, agent.skills, Demand.of(demand), handbook, pool.table.relative_price(agent.name))

    @checked()
    def select(
        self,
        demand: Demanded = None,
        *,
        agents: Iterable[str | Agent] | None = None,
        constraints: Constraints | None = None,
        dial: float | None = None,
        turn: ExplorationRound | None = None,
    ) -> Selection:
        """Choose the agent with the lowest price; ties go to the first name and are recorded.

        `dial` from 0 (cheapest) to 1 (best) overrides the policy's `quality_value`. Raises `InputError` when no agent
        is left to choose, and for a skill that neither an agent nor the handbook knows.
        """
        handbook, pool = self._current()
        wanted = handbook.resolved(Demand.of(demand))
        self.check_known(wanted)
        policy = dialled(self.options.policy, dial)
        turn = turn or self.turn()
        costs = pool.current_costs(self.options.base)
        eligible, refusals = self._eligible(pool, costs, agents, constraints)
        counted = self._counting.count(pool, wanted, turn, eligible & (costs.success > 0), handbook)
        prices = np.where(eligible, pool.prices(costs, counted.values, policy, self.options.pricing), np.inf)
        row = int(np.argmin(prices)) if len(prices) else -1
        if row < 0 or not np.isfinite(prices[row]):
            raise InputError(no_agent_reason(pool, refusals))
        ties = tuple(pool.names[other] for other in np.flatnonzero(prices == prices[row]) if other != row)
        seen = Snapshot(pool, costs, wanted, policy, counted.values, prices, counted.newcomers, refusals, handbook)
        return Selection(pool.names[row], wanted, seen.reason(row), turn, ties, seen.candidates)

    def check_known(self, demand: Demanded) -> None:
        """Raises `InputError` for a skill that neither an agent nor the handbook knows, with the nearest name."""
        handbook, pool = self._current()
        wanted, table = handbook.resolved(Demand.of(demand)), pool.table
        if not table.knows(wanted):
            missing = next(skill for skill in wanted.skills if skill not in table.skills)
            raise InputError(
                f"No agent declares the skill {missing!r}, and the handbook does not know it."
                f"{nearest(missing, table.skills)} Known skills: {', '.join(sorted(table.skills)[:12]) or 'none'}."
            )

    def judge(
        self,
        agents: Iterable[str],
        demand: Demanded,
        turn: ExplorationRound | None = None,
        *,
        usable: Iterable[str] | None = None,
    ) -> dict[str, Judged]:
        """Score these agents under a demand: the expected competence, and the one that enters their prices.

        They are alternatives: while one of the `usable` agents (default: all) is proven, a newcomer is held back,
        except in an exploring turn. Without a turn nothing is drawn and no newcomer is held back.
        """
        handbook, pool = self._current()
        wanted = handbook.resolved(Demand.of(demand))
        rows = pool.table.rows
        names = [name for name in agents if name in rows]
        rivals: Bools = np.zeros(len(pool.names), dtype=np.bool_)
        rivals[[rows[name] for name in (names if usable is None else usable) if name in rows]] = True
        counting = Counting(None, Onboarding(evidence=0)) if turn is None else self._counting
        counted = counting.count(pool, wanted, turn or ExplorationRound(), rivals, handbook)
        return {name: counted.judged(rows[name], handbook) for name in names}

    def refuses(self, agent: Agent, cost: float, constraints: Constraints | None = None) -> str:
        """Why an agent whose call costs `cost` US dollars may not be chosen; empty when it may."""
        limits = (self.options.constraints, constraints)
        return next(filter(None, (limit.refuses(agent, cost) for limit in limits if limit is not None)), "")

    def facts(
        self, agent: Agent, demand: Demanded, base: PriceFacts, turn: ExplorationRound | None = None
    ) -> PriceFacts:
        """The price facts of an agent under a demand: `base` with its competence and its learned cost.

        Without a turn no newcomer is held back and nothing is drawn. Its alternatives are the agents that give the same
        keys.
        """
        if agent.name in self._agents:
            rivals = [other.name for other in self._agents.values() if set(other.gives) & set(agent.gives)]
            judged = self.judge([agent.name], demand, turn, usable=rivals)[agent.name]
            counted = judged.counted
        else:
            counted = self.estimate(agent, demand).mean
        return dataclasses.replace(base, money=self.money(agent, base.money), competence=counted)

    def money(self, agent: Agent, declared: float) -> float:
        """Expected US dollars of a call of an agent: learned where `declared` is its planned cost, else `declared`."""
        spent, planned = self.handbook.profile(agent.name).usd, agent.planned_cost()
        return spent.expected(planned) if spent.count and declared == planned else declared

    def demand(self, text: str | None, declared: Demanded = None) -> Demand:
        """The demand of a step: the declared one, with split skills resolved by the text; without a declaration, the
        demand inferred from the text; neutral if nothing is known.
        """
        handbook = self.handbook
        wanted = handbook.resolved(Demand.of(declared))
        if text is None or not handbook.skills:
            return wanted
        index = self._indexed(handbook)
        return index.demand(text, handbook.described) if wanted.neutral else index.refined(wanted, text)

    def sure(self, text: str) -> bool:
        """Whether a text determines its demand confidently; true if there is only one skill."""
        handbook = self.handbook
        live = [skill for skill in handbook.skills.values() if skill.merged_into is None]
        if len(live) < 2 or not handbook.described:
            return True
        return self._indexed(handbook).sure(text, handbook.described)

    def _indexed(self, handbook: Handbook) -> SkillIndex:
        index = self._index
        if index is None or index.handbook.skills is not handbook.skills:
            index = self._index = SkillIndex(handbook, self.options.embedding)
        return index

    @checked()
    def learn(
        self, agent: str | Agent, demand: Demanded, success: bool, weight: float = 1.0, **spent: Unpack[Spent]
    ) -> None:
        """Queue the outcome of a piece of work; it is learned from by `apply_pending`, outside the path of a call.

        `weight` in (0, 1] is the trust in the judgement. Raises `InputError` for numbers out of range.
        """
        self.observe(
            Observation(agent if isinstance(agent, str) else agent.name, Demand.of(demand), success, weight, **spent)
        )

    def observe(self, observation: Observation) -> None:
        """Queue an outcome, to be learned from by `apply_pending`."""
        self._learner.note(observation)

    def apply_pending(self) -> int:
        """Learn from the queued outcomes; returns how many there were.

        The record of an agent that has drifted is reduced; `signals` reports the drift.
        """
        with self._lock:
            handbook, pool = self._known
            learned = self._learner.learn(handbook, self._agents, self.options.onboarding.evidence)
            if learned.step is not None:
                self._known = (learned.handbook, _refreshed(pool, learned, self._agents))
                if self._journal is not None:
                    self._journal.note(learned.step)
            return learned.outcomes

    @property
    def pending(self) -> bool:
        """Whether outcomes are queued."""
        return self._learner.waiting

    @property
    def has_news(self) -> bool:
        """Whether outcomes are queued, or `signals` has drift to report."""
        return bool(self._learner.pending or self._learner.found)

    def signals(self) -> tuple[DriftSignal, ...]:
        """Drift found since the last call."""
        return self._learner.signals()

    @property
    def alarmed(self) -> bool:
        """Whether `signals` has anything to report."""
        return self._learner.alarmed

    def drift_recorded(self, agent: str) -> None:
        """Mark the drift of an agent as recorded by a run: no process reports it again."""
        with self._lock:
            handbook, pool = self._known
            step = mark_drift_recorded(agent)
            made = step(handbook)
            self._learner.acknowledge_drift(agent)
            if made is not handbook:
                self._known = (made, pool)
                if self._journal is not None:
                    self._journal.note(step)

    # -- a handbook that several processes share ---------------------------------------------------------------------

    def keep_journal(self) -> None:
        """Record changes of the handbook from now on, for `onto` and `stored`."""
        self._journal = self._journal or Journal()

    @property
    def unstored(self) -> bool:
        """Whether the handbook has changes that are not stored."""
        return bool(self._journal)

    def onto(self, handbook: Handbook | None) -> tuple[Handbook, int]:
        """Rebase local changes onto a stored handbook. Returns the result and the number of changes, for `stored`.

        The result becomes the handbook of this selector. `None`: the stored handbook has not changed since it was last
        read.
        """
        with self._lock:
            mine, pool = self._known
            self._turns_stored = self._turns.taken
            if handbook is None:
                return mine.model_copy(update={"turns": mine.turns + self._turns_stored}), len(self._journal or ())
            made, steps = self._journal.onto(handbook) if self._journal is not None else (handbook, 0)
            self._learner.merge_drift(made)
            self._known = (made, None if pool is None else Pool(self._agents, made))
            self._turns.go_on_from(made.turns + self._turns_stored)
            return made.model_copy(update={"turns": made.turns + self._turns_stored}), steps

    def stored(self, steps: int) -> None:
        """Note that the store has the first `steps` local changes."""
        with self._lock:
            handbook, pool = self._known
            self._known = (handbook.model_copy(update={"turns": handbook.turns + self._turns_stored}), pool)
            self._turns.mark_persisted(self._turns_stored)
            self._turns_stored = 0
            if self._journal is not None:
                self._journal.stored(steps)

    # -- choosing ----------------------------------------------------------------------------------------------------

    def _current(self) -> tuple[Handbook, Pool]:
        """The current handbook and the pool built from it; neither is changed in place."""
        handbook, pool = self._known
        if pool is None:
            with self._lock:
                handbook, pool = self._known
                if pool is None:
                    pool = Pool(self._agents, handbook)
                    self._known = (handbook, pool)
        return handbook, pool

    def _eligible(
        self, pool: Pool, costs: Costs, agents: Iterable[str | Agent] | None, constraints: Constraints | None
    ) -> tuple[Bools, dict[int, str]]:
        """Which agents may be chosen, and why the others may not."""
        limits = [c for c in (self.options.constraints, constraints) if c is not None and c != Constraints()]
        if agents is not None:
            names = [agent if isinstance(agent, str) else agent.name for agent in agents]
            unknown = [name for name in names if name not in self._agents]
            if unknown:
                raise InputError(f"There is no agent {unknown[0]!r}.{nearest(unknown[0], self._agents)}")
            limits.append(Constraints(agents=names))
        refusals = refused_positions(pool.agents, costs.money.tolist(), limits) if limits else {}
        allowed: Bools = np.ones(len(pool.agents), dtype=np.bool_)
        allowed[list(refusals)] = False
        return allowed, refusals


def _refreshed(pool: Pool | None, learned: Learned, agents: Mapping[str, Agent]) -> Pool | None:
    """The pool updated by what was learned; `None` if it must be rebuilt because there are new skills."""
    if pool is None or set(learned.handbook.skills) - set(pool.table.skills):
        return None
    return pool.refreshed(learned.agents & set(agents), learned.skills, learned.handbook)
