"""`Consensus`: asks a number of agents that depends on the disagreement of a few cheap probes."""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

from orchestrator.agents.agent import Agent
from orchestrator.agents.options import AgentOptions
from orchestrator.core.context import RunContext, SubCall
from orchestrator.core.errors import DefinitionError, InvalidOutput, Unavailable
from orchestrator.core.route import Candidate

from .disagreement import Agreement, EnsembleMode, Equivalent, Extract, agreement, plain_answer, same_answer
from .subcall import MemberAnswer, ask_member, candidate_of

NONE: Final = Agreement(())


@dataclass(frozen=True, slots=True)
class Votes:
    """The groups of equivalent answers: of the probes, of the agents asked after them, and of both together."""

    probes: Agreement
    answers: Agreement = NONE
    together: Agreement = NONE
    asked: int = 0
    """Number of agents that were asked after the probes."""
    again: bool = False
    """Whether an earlier answer was rejected: then all agents are asked, independent of the probes."""
    judged: bool = False
    """Whether there is a judge for answers without a majority."""

    @property
    def mode(self) -> EnsembleMode:
        """How many agents are asked."""
        return EnsembleMode.ALL if self.again or self.probes.total < 2 else self.probes.mode

    @property
    def elected(self) -> tuple[str, int]:
        """The deciding rule, and the position of the winner among the agents' answers followed by those of the
        probes.
        """
        answers = self.answers.total
        if self.mode is EnsembleMode.ONE:
            return "agreement", answers
        if not answers:
            return "order", answers + self.probes.groups[0][0]
        if self.answers.majority is not None:
            return "majority", self.answers.majority
        if self.judged and self.asked > 1:
            return "judge", 0
        with_probes = None if self.judged else self.together.majority
        if with_probes is not None and with_probes < answers:
            return "majority", with_probes
        return "order", 0

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        groups = {name: [list(group) for group in getattr(self, name).groups] for name in _AGREEMENTS}
        return {**groups, "asked": self.asked, "again": self.again, "judged": self.judged}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Votes":
        """What `to_json` wrote."""
        agreed = {name: Agreement(tuple(tuple(group) for group in data[name])) for name in _AGREEMENTS}
        return cls(**agreed, asked=data["asked"], again=data["again"], judged=data["judged"])


_AGREEMENTS: Final = ("probes", "answers", "together")

AnswerJudge = Callable[..., Any]
"""`judge(answers, inputs)` returns the best output of a list; may be async. Or an `Agent` that needs the key `answers`,
and may need any of the inputs.
"""


@dataclass(frozen=True, slots=True)
class ConsensusVerdict:
    """How a consensus was found: the decision record of ACAR."""

    mode: EnsembleMode
    sigma: float
    probes: tuple[MemberAnswer, ...]
    answers: tuple[MemberAnswer, ...]
    """The answers of the agents that were asked after the probes."""
    winner: str
    """The agent whose output was taken; `agreement` if several gave it."""
    decided_by: str
    """`agreement`, `majority`, `judge` or `order`."""
    usd: float
    output: Any
    votes: Votes
    """The facts of the decision."""
    left_out: tuple[MemberAnswer, ...] = ()
    """Members that were not asked, with the reason, for example an open circuit."""

    def to_json(self) -> dict[str, Any]:
        """Plain data without the answers, for records: enough to repeat the decision."""
        return {
            "mode": str(self.mode),
            "sigma": self.sigma,
            "agents": [a.agent for a in (*self.probes, *self.answers)],
            "errors": [a.error for a in (*self.probes, *self.answers) if a.error],
            "winner": self.winner,
            "decided_by": self.decided_by,
            "usd": self.usd,
            "votes": self.votes.to_json(),
            **({"left_out": {a.agent: a.left_out for a in self.left_out}} if self.left_out else {}),
        }

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every answer by agent, cost and group of equivalent answers, without its content."""
        listed: list[Candidate] = []
        for kind, given, agreed in (
            ("probe, ", self.probes, self.votes.probes),
            ("", self.answers, self.votes.answers),
        ):
            numbers = iter(agreed.numbers)
            for answer in given:
                listed.append(candidate_of(answer, "" if answer.error else f"{kind}answer {next(numbers)}"))
        return (*listed, *(candidate_of(answer, "") for answer in self.left_out))

    @property
    def reason(self) -> str:
        """How the consensus was found, in one line."""
        out = f"; without {', '.join(dict.fromkeys(a.agent for a in self.left_out))}" if self.left_out else ""
        return f"σ {self.sigma:g} of {len(self.probes)} probes: {self.mode}; decided by {self.decided_by}{out}"


@dataclass(frozen=True)
class Consensus:
    """An agent made of several: `Agent(Consensus(cheap, [a, b, c]), name="panel")`.

    The `probe` answers `n` times. With σ = (distinct - 1) / (n - 1): at σ = 0 the common answer is taken, at σ = 1 all
    `agents` are asked, in between the first two. The majority of their answers wins; without a majority the `judge`
    decides; without a judge the probes are counted too, then the order of the agents decides. The cost of each call is
    charged. Answers that agree may still be wrong: give the agent an `ensure`; when it rejects an answer, all agents
    are asked.
    """

    probe: Agent
    agents: Sequence[Agent]
    n: int = 3
    extract: Extract = plain_answer
    equivalent: Equivalent = same_answer
    judge: AnswerJudge | None = None
    on_verdict: Callable[[ConsensusVerdict], None] | None = field(default=None, compare=False)
    """Called with each verdict, for records."""

    def __post_init__(self) -> None:
        if self.n < 2:
            raise DefinitionError(f"A consensus takes at least two probes to measure agreement, not {self.n}.")
        if len(self.agents) < 2:
            raise DefinitionError("A consensus has at least two agents besides its probe.")
        for agent in self.agents:
            if tuple(agent.gives) != tuple(self.probe.gives):
                raise DefinitionError(f"Agent {agent.name!r} gives {list(agent.gives)!r}, the probe does not.")
        if isinstance(self.judge, Agent) and "answers" not in self.judge.needs.values():
            raise DefinitionError(f"The judge {self.judge.name!r} must need the key 'answers'.")

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the member agents, including the judge if it is an agent."""
        judge = [self.judge] if isinstance(self.judge, Agent) else []
        return tuple(dict.fromkeys(agent.name for agent in (self.probe, *self.agents, *judge)))

    def as_agent(self, options: AgentOptions) -> "tuple[Consensus, AgentOptions]":
        """The agent's options, with the needs and gives of its members and its expected cost."""
        return self, {**member_options((self.probe, *self.agents), self._cost), **options}

    async def __call__(self, ctx: RunContext[Any], feedback: str | None = None, **inputs: Any) -> Any:
        """Return the output; `inputs` by key. Raises `InvalidOutput` if no member gave one."""
        verdict = await self.verdict(ctx, inputs, feedback)
        ctx.usage[f"mode_{verdict.mode}"] += 1
        facts = {key: value for key, value in verdict.to_json().items() if key != "errors"}
        ctx.chose(verdict.winner, verdict.candidates, verdict.reason, {"consensus": facts})
        if self.on_verdict is not None:
            self.on_verdict(verdict)
        return verdict.output

    async def verdict(
        self, ctx: RunContext[Any], inputs: Mapping[str, Any], feedback: str | None = None
    ) -> ConsensusVerdict:
        """Ask the probes, measure their disagreement, and ask the resulting number of agents; members that are down are
        left out.
        """
        probes, out = await self._ask([self.probe] * self.n, self.n, ctx, inputs, "probe", feedback)
        ctx.usage["probes"] += self.n
        found = [probe for probe in probes if probe.given]
        votes = Votes(self._agreement(found), again=feedback is not None, judged=self.judge is not None)
        wanted = {EnsembleMode.ONE: 0, EnsembleMode.TWO: 2, EnsembleMode.ALL: len(self.agents)}[votes.mode]
        answers, also_out = await self._ask(self.agents, wanted, ctx, inputs, "agent", feedback)
        out += also_out
        ok = [answer for answer in answers if answer.given]
        if not found and not ok:
            self._nobody(probes + answers, out)
        votes = replace(votes, answers=self._agreement(ok), together=self._agreement([*ok, *found]), asked=len(answers))
        judged = await self._judged(ctx, ok, inputs) if votes.elected[0] == "judge" else None
        if judged is not None and judged.left_out:  # its judge is down: decide without one
            out.append(judged)
            votes, judged = replace(votes, judged=False), None
        decided_by, place = votes.elected
        winner = judged or [*ok, *found][place]
        spent = sum(answer.usd for answer in (*probes, *answers)) + (judged.usd if judged else 0.0)
        name = "agreement" if decided_by == "agreement" else winner.agent
        return ConsensusVerdict(
            mode=votes.mode,
            sigma=votes.probes.sigma,
            probes=tuple(probes),
            answers=tuple(answers),
            winner=name,
            decided_by=decided_by,
            usd=spent,
            output=winner.output,
            votes=votes,
            left_out=tuple(out),
        )

    async def _ask(
        self,
        agents: Sequence[Agent],
        wanted: int,
        ctx: RunContext[Any],
        inputs: Mapping[str, Any],
        part: str,
        feedback: str | None,
    ) -> tuple[list[MemberAnswer], list[MemberAnswer]]:
        """The answers of the first `wanted` available agents, and the agents that were left out before them."""
        asked: list[tuple[Agent, str, SubCall]] = []
        out: list[MemberAnswer] = []
        for number, agent in enumerate(agents):
            if len(asked) == wanted:
                break
            label = f"{part}{number}"
            call = await ctx.member(agent.name, label)
            if call.refused:
                out.append(MemberAnswer(agent.name, left_out=call.refused))
            else:
                asked.append((agent, label, call))
        calls = [ask_member(agent, ctx, inputs, label, feedback, call) for agent, label, call in asked]
        return list(await asyncio.gather(*calls)), out

    def _nobody(self, asked: list[MemberAnswer], out: list[MemberAnswer]) -> NoReturn:
        if not asked:
            why = "; ".join(dict.fromkeys(f"{each.agent}: {each.left_out}" for each in out))
            raise Unavailable(f"Every member of the consensus is down. {why}")
        raise InvalidOutput("No agent of the consensus gave an answer.")

    def _agreement(self, answers: Sequence[MemberAnswer]) -> Agreement:
        return agreement([self.extract(answer.output) for answer in answers], self.equivalent)

    async def _judged(
        self, ctx: RunContext[Any], answers: Sequence[MemberAnswer], inputs: Mapping[str, Any]
    ) -> MemberAnswer:
        """The judge's choice, or why it was not asked. Raises `InvalidOutput` when it fails."""
        outputs = [answer.output for answer in answers]
        if isinstance(self.judge, Agent):
            answer = await ask_member(self.judge, ctx, {**inputs, "answers": outputs}, "judge")
            if answer.error is not None:
                raise InvalidOutput(f"The judge failed: {answer.error}")
            return answer
        verdict = self.judge(outputs, inputs) if self.judge is not None else None
        return MemberAnswer("judge", await verdict if inspect.isawaitable(verdict) else verdict)

    def _cost(self, usage: Mapping[str, float]) -> float:
        """Expected cost before a call: the probes and half of the agents. After it: 0, since every call was charged."""
        if usage.get("probes"):
            return 0.0
        return self.n * self.probe.planned_cost() + 0.5 * sum(agent.planned_cost() for agent in self.agents)


def member_options(members: Sequence[Agent], cost: Callable[[Mapping[str, float]], float]) -> AgentOptions:
    """The options of an agent that consists of others: their needs and gives, and their strictest data constraints."""
    first = members[0]
    needs = {key: key for member in members for key in member.needs.values()}
    skills: dict[str, float] = {}
    for member in members:
        for skill, declared in member.skills.items():
            skills[skill] = max(declared, skills.get(skill, 0.0))
    return {
        "needs": needs,
        "gives": dict(first.gives),
        "cost": cost,
        "latency": max(member.planned_latency() for member in members),
        "skills": skills,
        "data_leaves": any(member.data_leaves for member in members),
        "trust": first.trust if len({member.trust for member in members}) == 1 else "mixed",
        "description": f"A consensus of {', '.join(dict.fromkeys(member.name for member in members))}.",
    }
