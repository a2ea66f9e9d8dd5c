"""`Selector`: who does a step, by what it demands, what each agent has shown it can do, and what that costs."""

import dataclasses
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from typing_extensions import Unpack

from orchestrator.agent import Agent
from orchestrator.errors import DefinitionError, InputError, nearest
from orchestrator.policy import Policy
from orchestrator.pricing import PriceFacts, Pricing

from .constraints import Constraints, dialled
from .demand import Demand
from .drift import DriftSignal
from .embedding import Embedding
from .estimation import Estimate, competence
from .handbook import Handbook
from .inference import SkillIndex
from .learner import Learned, Learner
from .learning import Observation, Spent
from .pool import BaseFacts, Bools, Costs, Pool
from .result import Selection
from .seen import Seen, nobody
from .table import Floats
from .turn import Exploration, Onboarding, Turn, Turns

Demanded = Demand | str | Iterable[str] | Mapping[str, float] | None


class SelectorOptions(TypedDict, total=False):
    """How a selector prices, explores, and takes in newcomers; every one may be left out."""

    policy: Policy
    pricing: Pricing | None
    """A formula in place of the policy's."""
    constraints: Constraints
    """Limits on every choice; those of a single choice come on top."""
    exploration: Exploration | None
    """Default: none, always the best estimate."""
    onboarding: Onboarding
    embedding: Embedding | None
    """For demands that are inferred from texts; default: `HashedEmbedding()`."""
    base: BaseFacts | None
    """Facts about an agent apart from its competence (its health, say); default: what it declares and has cost."""


@dataclass(frozen=True)
class _Settings:
    """The options, all of them."""

    policy: Policy = field(default_factory=Policy)
    pricing: Pricing | None = None
    constraints: Constraints = field(default_factory=Constraints)
    exploration: Exploration | None = None
    onboarding: Onboarding = field(default_factory=Onboarding)
    embedding: Embedding | None = None
    base: BaseFacts | None = None


class Selector:
    """Chooses agents by the one price, learns from outcomes, explains every choice.

    `Selector([writer, summariser], policy=Policy.load("balanced")).select({"summarise": 1})`. Options are those of
    `SelectorOptions`. The same agents, handbook and turn give the same choice, whatever the order they came in.
    """

    def __init__(
        self, agents: Iterable[Agent] = (), *, handbook: Handbook | None = None, **options: Unpack[SelectorOptions]
    ) -> None:
        known = list(SelectorOptions.__annotations__)
        wrong = sorted(set(options) - set(known))
        if wrong:
            raise DefinitionError(
                f"A selector has no option {wrong[0]!r}.{nearest(wrong[0], known)} Known: {', '.join(known)}."
            )
        self.options = _Settings(**options)
        self._handbook = handbook or Handbook()
        self._agents: dict[str, Agent] = {}
        self._pool: Pool | None = None
        self._turns = Turns(self.options.onboarding.share)
        self._index: SkillIndex | None = None
        self._learner = Learner()
        self._lock = threading.Lock()
        for agent in agents:
            self.add(agent)

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents to choose among, by name."""
        return self._agents

    @property
    def handbook(self) -> Handbook:
        """What is known, without what is still pending."""
        return self._handbook

    @handbook.setter
    def handbook(self, handbook: Handbook) -> None:
        self._handbook = handbook
        self._pool = None

    def add(self, agent: Agent) -> None:
        """Let an agent be chosen. Raises `DefinitionError` for a name that is taken, or something that is no agent."""
        if not isinstance(agent, Agent):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"A selector chooses among agents, not {agent!r}.")
        if agent.name in self._agents:
            raise DefinitionError(f"There is an agent {agent.name!r} already.")
        self._agents[agent.name] = agent
        self._pool = None

    def remove(self, name: str) -> None:
        """Let an agent not be chosen any more; what is known of it stays. Raises `DefinitionError` for none."""
        if name not in self._agents:
            raise DefinitionError(f"There is no agent {name!r}.{nearest(name, self._agents)}")
        del self._agents[name]
        self._pool = None

    def turn(self) -> Turn:
        """The next turn, for a choice made elsewhere: record it, and give it to `facts`."""
        return self._turns.next()

    def estimate(self, agent: Agent, demand: Demanded) -> Estimate:
        """What to expect of an agent under a demand."""
        return competence(agent.name, agent.skills, Demand.of(demand), self._handbook)

    def select(
        self,
        demand: Demanded = None,
        *,
        agents: Iterable[str | Agent] | None = None,
        constraints: Constraints | None = None,
        dial: float | None = None,
        turn: Turn | None = None,
    ) -> Selection:
        """Choose the agent with the least price; ties go to the first name, and are recorded.

        `dial` from 0 (cheapest) to 1 (best) overrides the policy's `quality_value`. Raises `InputError` when no agent
        is left to choose, and for a skill that neither an agent nor the handbook knows.
        """
        wanted = self._handbook.resolved(Demand.of(demand))
        self._check_known(wanted)
        policy = dialled(self.options.policy, dial)
        turn = turn or self.turn()
        pool = self._current_pool()
        costs = pool.current_costs(self.options.base)
        eligible, refusals = self._eligible(pool, costs, agents, constraints)
        counted, bounded = self._counted(pool, wanted, turn, eligible & (costs.success > 0))
        prices = np.where(eligible, pool.prices(costs, counted, policy, self.options.pricing), np.inf)
        row = int(np.argmin(prices)) if len(prices) else -1
        if row < 0 or not np.isfinite(prices[row]):
            raise InputError(nobody(pool, refusals))
        ties = tuple(pool.names[other] for other in np.flatnonzero(prices == prices[row]) if other != row)
        seen = Seen(pool, costs, wanted, policy, counted, prices, bounded, refusals, self._handbook)
        return Selection(pool.names[row], wanted, seen.reason(row), turn, ties, seen.candidates)

    def refuses(self, agent: Agent, cost: float, constraints: Constraints | None = None) -> str:
        """Why an agent whose call costs `cost` US dollars may not be chosen; empty when it may."""
        limits = (self.options.constraints, constraints)
        return next(filter(None, (limit.refuses(agent, cost) for limit in limits if limit is not None)), "")

    def facts(self, agent: Agent, demand: Demanded, base: PriceFacts, turn: Turn | None = None) -> PriceFacts:
        """The price facts of an agent under a demand: `base` with its competence, and with what it really costs.

        Without a turn no newcomer is held back and nothing is drawn. Rivals are the agents that give the same keys.
        """
        wanted = self._handbook.resolved(Demand.of(demand))
        money = base.money
        profile = self._handbook.profile(agent.name)
        if profile.usd.count:
            planned = agent.planned_cost()
            money = max(0.0, base.money - planned + profile.usd.expected(planned))
        if turn is None or agent.name not in self._agents:
            counted = self.estimate(agent, wanted).mean
        else:
            pool = self._current_pool()
            rivals = np.array([bool(set(other.gives) & set(agent.gives)) for other in pool.agents])
            counted = float(self._counted(pool, wanted, turn, rivals)[0][pool.table.rows[agent.name]])
        return dataclasses.replace(base, money=money, competence=min(1.0, max(0.0, counted)))

    def demand(self, text: str | None, declared: Demanded = None) -> Demand:
        """What a step demands: what it declares, with skills that were split told apart by its text; where it declares
        nothing, what its text is about; neutral where nothing is known."""
        wanted = self._handbook.resolved(Demand.of(declared))
        if text is None or not self._handbook.skills:
            return wanted
        index = self._current_index()
        return index.demand(text) if wanted.neutral else index.refined(wanted, text)

    def learn(
        self, agent: str | Agent, demand: Demanded, success: bool, weight: float = 1.0, **spent: Unpack[Spent]
    ) -> None:
        """Note how a piece of work turned out; it is learned from when `apply_pending` is called, off a call's path.

        `weight` in (0, 1] says how much the judgement is trusted. Raises `InputError` for numbers out of range.
        """
        self.observe(
            Observation(agent if isinstance(agent, str) else agent.name, Demand.of(demand), success, weight, **spent)
        )

    def observe(self, observation: Observation) -> None:
        """Note an outcome, to be learned from by `apply_pending`."""
        self._learner.note(observation)

    def apply_pending(self) -> int:
        """Learn from what was noted since the last time; returns how many outcomes that were.

        An agent that has drifted is believed less from then on; `signals` tells of it.
        """
        with self._lock:
            learned = self._learner.learn(self._handbook, self._agents, self.options.onboarding.evidence)
            if learned.outcomes:
                self._handbook = learned.handbook
                self._refresh(learned)
            return learned.outcomes

    def signals(self) -> tuple[DriftSignal, ...]:
        """Drift found since the last time this was asked."""
        return self._learner.signals()

    def _refresh(self, learned: Learned) -> None:
        """Bring the pool up to date."""
        if self._pool is None:
            return
        if set(self._handbook.skills) - set(self._pool.table.skills):
            self._pool = None
        else:
            self._pool.refresh(learned.agents & set(self._agents), learned.skills, self._handbook)

    def _current_index(self) -> SkillIndex:
        if self._index is None or self._index.handbook.skills is not self._handbook.skills:
            self._index = SkillIndex(self._handbook, self.options.embedding)
        return self._index

    def _current_pool(self) -> Pool:
        pool = self._pool
        if pool is None:
            pool = self._pool = Pool(self._agents, self._handbook)
        return pool

    def _check_known(self, demand: Demand) -> None:
        pool = self._current_pool()
        if not pool.table.knows(demand):
            missing = next(skill for skill in demand.skills if skill not in pool.table.skills)
            raise InputError(
                f"No agent declares the skill {missing!r}, and the handbook does not know it."
                f"{nearest(missing, pool.table.skills)}"
            )

    def _eligible(
        self, pool: Pool, costs: Costs, agents: Iterable[str | Agent] | None, constraints: Constraints | None
    ) -> tuple[Bools, dict[int, str]]:
        """Who may be chosen, and why the others may not."""
        limits = [c for c in (self.options.constraints, constraints) if c is not None and c != Constraints()]
        if agents is not None:
            names = [agent if isinstance(agent, str) else agent.name for agent in agents]
            unknown = [name for name in names if name not in self._agents]
            if unknown:
                raise InputError(f"There is no agent {unknown[0]!r}.{nearest(unknown[0], self._agents)}")
            limits.append(Constraints(agents=names))
        refusals: dict[int, str] = {}
        if limits:
            for row, agent in enumerate(pool.agents):
                reason = next(filter(None, (limit.refuses(agent, float(costs.money[row])) for limit in limits)), "")
                if reason:
                    refusals[row] = reason
        allowed: Bools = np.ones(len(pool.agents), dtype=np.bool_)
        allowed[list(refusals)] = False
        return allowed, refusals

    def _counted(self, pool: Pool, demand: Demand, turn: Turn, rivals: Bools) -> tuple[Floats, Bools]:
        """The competence that enters each price, and which agents are newcomers and so bounded."""
        if not pool.table.knows(demand):
            means = [self.estimate(agent, demand).mean for agent in pool.agents]
            return np.array(means), np.zeros(len(means), dtype=np.bool_)
        columns, weights = pool.table.columns(demand)
        explore = self.options.exploration
        if explore is None:
            counted = pool.table.means(columns, weights)
        elif explore.strategy == "thompson":
            counted = pool.table.draw(columns, weights, np.random.default_rng([explore.seed, turn.number]))
        else:
            spread = np.sqrt(pool.table.variances(columns, weights))
            counted = np.minimum(1.0, pool.table.means(columns, weights) + explore.width * spread)
        unproven = pool.table.evidence(columns, weights) < self.options.onboarding.evidence
        new: Bools = unproven & ~pool.founding
        if not new.any() or not (rivals & ~unproven).any():
            return counted, np.zeros_like(new)
        return np.where(new, 1.0 if turn.probe else 0.0, counted), new
