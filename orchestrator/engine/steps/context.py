"""`CallContext`: the `RunContext` that is passed to a call."""

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from orchestrator.agents.models.parse import unpacked
from orchestrator.core.calls.options import checked
from orchestrator.core.checks import check_name
from orchestrator.core.context import RunContext, SubCall
from orchestrator.core.enums import DecisionKind, PartKind, Status
from orchestrator.core.errors import DefinitionError, InputError, InvalidOutput, Refused, StoreError, nearest
from orchestrator.core.events import Progressed
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Escalated, Outcome
from orchestrator.core.route import Candidate
from orchestrator.core.types.schema import read_signature, type_name, validate
from orchestrator.engine.run import Run
from orchestrator.engine.slots import lent_slots
from orchestrator.engine.tree import CallQuestion
from orchestrator.health.quota_headers import quota_of
from orchestrator.intent.needs import takes_of

from .children import LONGEST_KEY, ChildRuns
from .once import called_once
from .sub_call import CallPart, part_owner

KEPT_WITHIN = 5.0
"""Seconds that `keep` waits for the store."""


class CallContext(RunContext[Any]):
    """The `RunContext` of one attempt."""

    def __init__(self, run: Run, tool: str, attempt: int, call_id: str) -> None:
        self._run = run
        self._asked: dict[tuple[str, str], int] = {}
        """How often a question was asked in this attempt, by text and type."""
        self._waiting: dict[int, float] = {}
        self._waited = 0.0
        self._over = False
        self.deps = run.runtime.deps
        self.run_id = run.state.run_id
        self.tool = tool
        self.attempt = attempt
        self.call_id = call_id
        self.labels = run.state.labels
        self.charged = 0.0
        """US dollars that the call itself cost."""
        self.awaited_cost: Any = None
        """What an async `cost` gave for the usage of this call, or the exception that it raised."""
        self._children: ChildRuns | None = None

    @cached_property
    def idempotency_key(self) -> str:  # type: ignore[override]  # made when it is asked for
        """A key that stays the same over the retries of this step, and after a crash."""
        return idempotency_key(self.run_id, self.tool)

    @cached_property
    def usage(self) -> Counter[str]:  # type: ignore[override]  # made when it is asked for
        """What the call used (tokens, pages, rows)."""
        return Counter()

    @property
    def has_usage(self) -> bool:
        """Whether the call reported that it used anything."""
        return "usage" in self.__dict__ and bool(self.usage)

    @property
    def children(self) -> ChildRuns:
        """The child runs of this call, created on first use."""
        if self._children is None:
            self._children = ChildRuns(self._run, self.tool, self.call_id, self.usage)
        return self._children

    @property
    def of_children(self) -> tuple[float, int]:
        """The cost of the child runs in US dollars, and their number of language model calls."""
        return (0.0, 0) if self._children is None else (self._children.cost, self._children.llm_calls)

    @property
    def spent(self) -> float:
        """US dollars that the call charged, including its child runs."""
        return self.charged if self._children is None else self.charged + self._children.cost

    @checked(what="ctx.reach()")
    async def reach(
        self,
        goal: str | Goal[Any],
        inputs: Mapping[str, Any] | None = None,
        key: str | None = None,
        *,
        check: bool = True,
    ) -> Outcome[Any]:
        """Run a child goal in the same graph."""
        wanted = Goal.of(goal)
        if self._over:
            raise Refused(f"the call that reaches for {wanted.name} has ended")
        async with lent_slots():
            outcome = await self.children.reach(wanted, dict(inputs or {}), key)
        if check and outcome.status is Status.ESCALATED:
            message = outcome.impasse.message if outcome.impasse else "it was stopped"
            raise Escalated(f"{outcome.goal.name} was not reached: {message}", outcome)
        return outcome

    def inputs_of(self, goal: str | Goal[Any]) -> Mapping[str, tuple[Any, bool]]:
        """The inputs of `reach` for a goal: the keys that it needs and no tool gives."""
        view, wanted = self._run.runtime.graph.view(), Goal.of(goal)
        for key in wanted.keys:
            if key not in view.keys:
                raise InputError(f"No tool gives or needs {key!r}.{nearest(key, view.keys)}")
        return takes_of(view, wanted.keys)

    @checked(what="ctx.wait()")
    async def wait(self, question: str, type: Any = Any) -> Any:
        """Ask a person; repeated until the answer is of the wanted type."""
        if isinstance(type, str):
            raise DefinitionError(f"ctx.wait(): type is a class, such as str, not the text {type!r}.")
        asked, wanted = question, "" if type is Any else type_name(type)
        while True:
            number = self._asked[asked, wanted] = self._asked.get((asked, wanted), 0) + 1
            found, answer = self._run.values.answer(self.tool, asked, wanted, number)
            if not found:
                answer = await self._ask(asked, wanted)
            try:
                return _typed(type, answer)
            except InvalidOutput as error:
                asked = f"{question} ({error})"

    def end_plain(self) -> bool:
        """End a call that left nothing behind; False for one that still asks, or that has reached for child runs."""
        if self._children is not None or self._waiting:
            return False
        self._over = True
        return True

    async def end(self, reason: str = "the call that reached for it has ended") -> None:
        """Clean up after the call: cancel its tasks that still ask or reach."""
        self._over = True
        self._run.pending.end(self.call_id)
        if self._children is not None:
            await self._children.end(reason)

    async def _ask(self, text: str, wanted: str) -> Any:
        """Stay suspended until a person has answered; the call holds no slot meanwhile."""
        if self._over:
            raise Refused(f"the call of {self.tool} that asks {text!r} has ended")
        run, clock = self._run, self._run.runtime.clock
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        question = CallQuestion(self.tool, self.call_id, text, wanted, answered)
        self._waiting[id(question)] = clock.monotonic()
        try:
            with run.pending.asking(question):
                run.wake_up()
                async with lent_slots():
                    return await answered
        finally:
            self._waited += clock.monotonic() - self._waiting.pop(id(question))
            run.wake_up()

    @property
    def waited(self) -> float:
        """Seconds in which the call, or a child run of it, waited for a person; they do not count as its latency."""
        run = self._run
        if not self._waiting and self._children is None:
            return self._waited
        now, at = run.runtime.clock.monotonic(), run.runtime.clock.time()
        own = self._waited + sum(now - since for since in self._waiting.values())
        children = {**run.ended_children, **run.children}.values()
        return own + sum(child.state.seconds_waited(at) for child in children if child.parent_call == self.call_id)

    @property
    def waits_for_people(self) -> bool:
        """Whether the call can only continue when a person has answered: it asked, or its children did."""
        return self._run.call_waits(self.call_id)

    @checked(what="ctx.discard()")
    async def discard(self, outcome: Outcome[Any]) -> None:
        """Mark the effects of a child as not used."""
        self.children.discard(outcome)

    @checked(what="ctx.once()")
    async def once(self, key: str, fn: Callable[[], Any]) -> Any:
        """The result of `fn`, called once for this key in this step, also over attempts and after a crash."""
        name = f"once:{check_name('a call of once', key, longest=LONGEST_KEY)}"
        return await called_once(
            self._run,
            (self.tool, name),
            lambda: self.kept(name),
            lambda found: self.keep(name, [found]),
            fn,
        )

    @checked(what="ctx.report()")
    def report(self, progress: Any) -> None:
        """Stream progress."""
        self._run.publish_from_anywhere(
            Progressed(run_id=self.run_id, at=self._run.runtime.clock.time(), tool=self.tool, progress=progress)
        )

    @checked(what="ctx.quota()")
    def quota(self, remaining: float, limit: float, reset_seconds: float) -> None:
        """Report a quota that a response stated."""
        self._run.runtime.health.note_quota(self.tool, remaining, limit, reset_seconds)

    def quota_headers(self, headers: Mapping[str, str]) -> None:
        """Report the quota in the headers of a response."""
        left = quota_of(headers, self._run.runtime.clock.time())
        if left is not None:
            self.quota(left.remaining, left.limit, left.reset_seconds)

    def chose(self, chosen: str, among: Sequence[Candidate], reason: str, facts: Mapping[str, Any]) -> None:
        """Record a choice."""
        self._run.decide(
            DecisionKind.SELECT,
            chosen,
            candidates=tuple(among),
            reason=reason,
            subject=self.tool,
            facts={**facts, "call": self.call_id},
        )

    def part(self, name: str, kind: PartKind, label: str, *, anyway: bool = False) -> SubCall:
        """Start a call within this call."""
        return CallPart(self._run, self.tool, self.call_id, name, kind, label, anyway=anyway)

    async def member(self, name: str, label: str) -> SubCall:
        """Start a call of a member; the lease of a probe is requested in a thread."""
        async with self._run.runtime.probe_leases(name, part_owner(self.call_id, label)):
            return self.part(name, PartKind.MEMBER, label)

    @property
    def streamed(self) -> bool:
        """Whether a sink observes the progress of this run."""
        followed = (getattr(sink, "run_id", None) for sink in self._run.runtime.sinks)
        own = f"{self._run.state.run_id}/"
        return any(run_id and own.startswith(f"{run_id}/") for run_id in followed) or self._run.recorder.followed

    async def keep(self, name: str, value: Any) -> None:
        """Record plain data for later calls of this step."""
        self._run.values.keep(self.tool, name, value)
        if self._run.durable:
            with suppress(StoreError):  # reported by the store; kept in memory
                await self._run.runtime.store.settled(KEPT_WITHIN, self._run.state.run_id, self._run.token)

    def kept(self, name: str) -> Any:
        """The data that `keep` recorded."""
        return self._run.values.kept(self.tool, name)

    @checked(what="ctx.charge()")
    def charge(self, usd: float) -> None:
        """Add US dollars to what this call has cost."""
        if not math.isfinite(usd) or usd < 0:
            raise ValueError(f"charge() takes US dollars of at least 0, not {usd!r}")
        self.charged += usd
        self._run.account.charge(self.call_id, usd)


def _typed(annotation: Any, answer: Any) -> Any:
    """An answer validated by the requested type; text may be JSON. Raises `InvalidOutput`."""
    try:
        return validate("the last answer", annotation, answer)
    except InvalidOutput:
        if not isinstance(answer, str):
            raise
        return validate("the last answer", annotation, unpacked(answer))


def context_argument(run: Run, tool: str, call: Callable[..., Any]) -> dict[str, Any]:
    """The `RunContext` argument for a `reconcile` or a `compensate`, by parameter name, if it takes one."""
    signature = read_signature(call)
    if signature is None or signature.context is None:
        return {}
    return {signature.context: CallContext(run, tool, run.state.attempts.get(tool, 0), "")}


def idempotency_key(run_id: str, tool: str) -> str:
    """The idempotency key: equal for every retry of a step, also after a crash; different for every run and step."""
    return hashlib.sha256(f"{run_id}\x1f{tool}".encode()).hexdigest()[:32]
