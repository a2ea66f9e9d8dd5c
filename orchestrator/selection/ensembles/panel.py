"""`Panel`: several agents work on a step concurrently, and a refiner merges their answers."""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.agents.agent import Agent
from orchestrator.agents.options import AgentOptions
from orchestrator.core.context import RunContext
from orchestrator.core.errors import DefinitionError, InvalidOutput, Unavailable

from .consensus import member_options
from .subcall import MemberAnswer, ask_member, candidate_of

Refiner = Callable[..., Any]
"""`refiner(answers, inputs)`, where `answers` maps the name of each agent that answered to its output."""


@dataclass(frozen=True)
class Panel:
    """An agent made of a set of agents (after TCAndon-Router): `Agent(Panel([a, b], refiner=merge), name="both")`.

    Agents that fail are left out; `least` is the minimum number of answers. A refiner that is an `Agent` needs the key
    `answers` and may need any of the inputs.
    """

    agents: Sequence[Agent]
    refiner: Refiner
    least: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.least <= len(self.agents):
            raise DefinitionError(f"A panel of {len(self.agents)} cannot need {self.least} answers.")
        if isinstance(self.refiner, Agent) and "answers" not in self.refiner.needs.values():
            raise DefinitionError(f"The refiner {self.refiner.name!r} must need the key 'answers'.")

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the member agents, including the refiner if it is an agent."""
        refiner = [self.refiner] if isinstance(self.refiner, Agent) else []
        return tuple(dict.fromkeys(agent.name for agent in (*self.agents, *refiner)))

    def as_agent(self, options: AgentOptions) -> "tuple[Panel, AgentOptions]":
        """The agent's options, with the needs of its members and the gives of its refiner."""
        defaults = member_options(self.agents, self._cost)
        if isinstance(self.refiner, Agent):
            defaults["gives"] = dict(self.refiner.gives)
        defaults["description"] = f"A panel of {', '.join(agent.name for agent in self.agents)}."
        return self, {**defaults, **options}

    async def __call__(self, ctx: RunContext[Any], feedback: str | None = None, **inputs: Any) -> Any:
        """Ask all agents concurrently, then the refiner. Raises `InvalidOutput` when too few answered."""
        calls = [ask_member(a, ctx, inputs, f"member{n}", feedback) for n, a in enumerate(self.agents)]
        answers = await asyncio.gather(*calls)
        ctx.usage["members"] += len(answers)
        given = {answer.agent: answer.output for answer in answers if answer.given}
        out = {answer.agent: answer.left_out for answer in answers if answer.left_out}
        if len(given) < self.least:
            problems = "; ".join(f"{a.agent}: {a.why_none}" for a in answers if not a.given)
            problem = f"{len(given)} of {len(answers)} agents answered, {self.least} are needed. {problems}"
            raise Unavailable(problem) if len(answers) - len(out) < self.least else InvalidOutput(problem)
        listed = [candidate_of(a, "answered") for a in answers]
        facts = {"answered": sorted(given), "least": self.least, **({"left_out": out} if out else {})}
        ctx.chose(" + ".join(sorted(given)), listed, "their answers are merged by the refiner", {"panel": facts})
        return await self._refined(ctx, given, inputs, feedback)

    async def _refined(
        self, ctx: RunContext[Any], given: Mapping[str, Any], inputs: Mapping[str, Any], feedback: str | None
    ) -> Any:
        if isinstance(self.refiner, Agent):
            answer: MemberAnswer = await ask_member(
                self.refiner, ctx, {**inputs, "answers": dict(given)}, "refiner", feedback
            )
            if answer.left_out:
                raise Unavailable(f"The refiner {answer.agent} may not be asked: {answer.left_out}")
            if answer.error is not None:
                raise InvalidOutput(f"The refiner failed: {answer.error}")
            return answer.output
        refined = self.refiner(dict(given), inputs)
        return await refined if inspect.isawaitable(refined) else refined

    def _cost(self, usage: Mapping[str, float]) -> float:
        """Expected cost before a call: all members and the refiner. After it: 0, since every call was charged."""
        if usage.get("members"):
            return 0.0
        refining = self.refiner.planned_cost() if isinstance(self.refiner, Agent) else 0.0
        return sum(agent.planned_cost() for agent in self.agents) + refining
