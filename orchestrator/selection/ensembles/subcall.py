"""Calls an agent within the call of another: separate usage, costs charged to the outer call, output checked."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.agents.agent import Agent
from orchestrator.core.calls.user_code import UserFunctionError
from orchestrator.core.checks import check_number
from orchestrator.core.context import RunContext, SubCall
from orchestrator.core.enums import PartKind
from orchestrator.core.errors import InvalidOutput
from orchestrator.core.route import Candidate
from orchestrator.core.types.schema import validate
from orchestrator.graph.tool_options import MAX_COST

if TYPE_CHECKING:
    from orchestrator.core.goal import Goal
    from orchestrator.core.outcome import Outcome


class SubContext(RunContext[Any]):
    """The context of a call within a call: usage is counted separately, everything else belongs to the outer call."""

    def __init__(self, outer: RunContext[Any], agent: str, part: str) -> None:
        self._outer = outer
        self._part = part
        self.deps = outer.deps
        self.run_id = outer.run_id
        self.tool = agent
        self.attempt = outer.attempt
        self.idempotency_key = f"{outer.idempotency_key}-{part}"
        self.usage: Counter[str] = Counter()
        self.charged = 0.0

    async def reach(
        self,
        goal: "str | Goal[Any]",
        inputs: Mapping[str, Any] | None = None,
        key: str | None = None,
        *,
        check: bool = True,
    ) -> "Outcome[Any]":
        """Run a child goal of the outer call, under a key of its own."""
        return await self._outer.reach(goal, inputs, None if key is None else f"{self._part}-{key}", check=check)

    def inputs_of(self, goal: "str | Goal[Any]") -> Mapping[str, tuple[Any, bool]]:
        """The inputs of `reach` for a goal, as in the outer call."""
        return self._outer.inputs_of(goal)

    async def wait(self, question: str, type: Any = Any) -> Any:
        """Ask a person, in the name of the outer call."""
        return await self._outer.wait(question, type)

    def report(self, progress: Any) -> None:
        """Stream progress of the outer call."""
        self._outer.report(progress)

    def quota(self, remaining: float, limit: float, reset_seconds: float) -> None:
        """Do nothing: the quota is the member's, not that of the outer agent."""

    def chose(self, chosen: str, among: Sequence[Candidate], reason: str, facts: Mapping[str, Any]) -> None:
        """Record a choice in the outer call."""
        self._outer.chose(chosen, among, reason, {**facts, "within": self.tool})

    def part(self, name: str, kind: PartKind, label: str, *, anyway: bool = False) -> SubCall:
        """Start a call within the outer call."""
        return self._outer.part(name, kind, f"{self._part}-{label}", anyway=anyway)

    async def member(self, name: str, label: str) -> SubCall:
        """Start a call of a member within the outer call."""
        return await self._outer.member(name, f"{self._part}-{label}")

    def charge(self, usd: float) -> None:
        """Charge the outer call."""
        self._outer.charge(usd)
        self.charged += usd


@dataclass(frozen=True, slots=True)
class MemberAnswer:
    """The answer of one agent within a call."""

    agent: str
    output: Any = None
    error: str | None = None
    """The error; `None` when there is an output."""
    usd: float = 0.0
    left_out: str = ""
    """Why it was not asked, for example an open circuit. Then there is neither output nor error."""

    @property
    def given(self) -> bool:
        """Whether there is an output."""
        return self.error is None and not self.left_out

    @property
    def why_none(self) -> str:
        """Why there is no output."""
        return self.left_out or self.error or ""


def candidate_of(answer: MemberAnswer, note: str) -> Candidate:
    """An answer for the record: agent, cost and a `note`, without its content."""
    if answer.left_out:
        return Candidate(answer.agent, None, f"left out: {answer.left_out}")
    return Candidate(answer.agent, answer.usd, "gave no answer" if answer.error else note)


async def ask_member(
    agent: Agent,
    ctx: RunContext[Any],
    inputs: Mapping[str, Any],
    part: str,
    feedback: str | None = None,
    call: SubCall | None = None,
) -> MemberAnswer:
    """Call an agent as a part of the call that `ctx` belongs to. An error becomes an answer without output.

    `inputs` are by key. Its cost is charged to the outer call and its usage added to that of the outer call. It has
    health of its own: an agent that is down is left out. `call`: the part that was already started for it.
    """
    call = call or await ctx.member(agent.name, part)
    if call.refused:
        return MemberAnswer(agent.name, left_out=call.refused)
    inner = SubContext(ctx, agent.name, part)
    output, problem = None, None
    try:
        output = await _checked(agent, inner, inputs, feedback)
    except Exception as error:
        problem = error
    except BaseException:
        call.dropped()
        raise
    usd = 0.0
    try:
        usd = check_number("its cost", agent.cost(inner.usage), MAX_COST) if callable(agent.cost) else agent.cost
    except Exception as error:
        problem = problem or UserFunctionError("cost", error)
    ctx.charge(usd)
    ctx.usage.update(inner.usage)
    call.ended(problem, usd=usd + inner.charged, of=agent)
    problem_text = None if problem is None else f"{type(problem).__name__}: {problem}"
    return MemberAnswer(agent.name, output, problem_text, usd + inner.charged)


async def _checked(agent: Agent, inner: SubContext, inputs: Mapping[str, Any], feedback: str | None) -> Any:
    """The output, validated by the agent's types and its `ensure`."""
    slots = {**agent.needs, **agent.optional}
    args, kwargs = agent.bind({parameter: inputs[key] for parameter, key in slots.items() if key in inputs})
    if agent.signature and agent.signature.context:
        kwargs[agent.signature.context] = inner
    if agent.accepts_feedback and feedback is not None:
        kwargs[agent.accepts_feedback] = feedback
    result: Any = (
        agent.call(*args, **kwargs) if agent.is_async else await asyncio.to_thread(agent.call, *args, **kwargs)
    )
    if inspect.isawaitable(result):
        async with asyncio.timeout(agent.timeout or None):
            result = await result
    output = _typed(agent, result)
    if agent.ensure is not None and agent.ensure(output) is False:
        raise InvalidOutput(f"the check of {agent.name} rejected its output")
    return output


def _typed(agent: Agent, result: Any) -> Any:
    if len(agent.gives) == 1:
        key, annotation = next(iter(agent.gives.items()))
        return validate(key, annotation, result)
    return {key: validate(key, annotation, result[key]) for key, annotation in agent.gives.items()}
