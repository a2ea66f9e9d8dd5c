"""Heals the tool calls of an agent: each is a child run, in which an alternative may replace a failing tool."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from langchain_core.tools import BaseTool

from orchestrator.agents.chat_tools import as_text
from orchestrator.api import Orchestrator
from orchestrator.core.enums import ABOUT_THE_CALL
from orchestrator.core.errors import DefinitionError, InputError
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Escalated, Outcome
from orchestrator.core.policy import Policy
from orchestrator.integrations.tool_results import statement
from orchestrator.store import Store

from .adopt import Adoption, call_token
from .calls import ToolCall
from .replies import LOST
from .session import Session, SessionQuestion
from .sessions import Sessions

_PLAIN: Final = re.compile(r"[ -~]{0,100}")
"""Pattern of tool call ids that are used in run ids unchanged; a model may generate any text."""
_PARTS: Final = "_langchain"
"""The attribute of an orchestrator for the shared state of its healed agents."""
"""Failure classes whose message is the tool's own answer to the model."""


class Healer:
    """Shared implementation of `HealingToolNode` and `HealingMiddleware`. Its coroutines run in the loop of the call's
    session.
    """

    def __init__(
        self,
        orc: Orchestrator | None,
        *,
        alternatives: Any,
        effects: Mapping[str, str] | None,
        policy: Policy | str | None,
        store: Store | str | Path | None,
        as_original: bool = False,
    ) -> None:
        """`as_original`: an error without a tried alternative is handled by the original handler."""
        if orc is not None and (policy is not None or store is not None):
            raise DefinitionError("policy= and store= are those of orc=: give either orc= or these.")
        self.orc = orc if orc is not None else Orchestrator(policy=policy, store=store)
        self.adoption, self.sessions = _parts_of(self.orc)
        self._named = self.adoption.declare(alternatives, _checked(effects))
        self._as_original = as_original
        self._resuming: set[asyncio.Task[Any]] = set()

    def adopt(self, tools: Iterable[BaseTool]) -> None:
        """Adopt tools before they are called, so that invalid options are reported at once."""
        every = {tool.name: tool for tool in tools}
        self.adoption.check(every, self._named)
        for tool in every.values():
            self.adoption.adopt(tool, every)

    async def heal(
        self, call: ToolCall, root: str, labels: Mapping[str, str], *, is_last: Callable[[], bool] | None
    ) -> Any:
        """The reply to a call, or the `SessionQuestion` that it waits on.

        `is_last`, for a node: whether the root run ends after this call, if no other one is under way.
        """
        tool = call.request.tool
        assert tool is not None
        every = {each.name: each for each in call.request.runtime.tools or []}  # pyright: ignore[reportUnknownMemberType]
        adopted = self.adoption.adopt(tool, every)
        session = await self.sessions.open(root, labels)
        session.keeps_replies = is_last is not None
        session.begin()
        resting = False
        try:
            key = key_of(call)
            if key in session.replies:
                known = session.replies[key]
                return call.message(known, error=True) if known is LOST else known
            reply = await self._reply(call, adopted, session, key)
            if call.interrupted is not None or isinstance(reply, SessionQuestion):
                session.kept = session.kept or call.is_interrupted
                resting = True
                await session.stopped(self.orc.policy.patience)
            else:
                session.replies[key] = reply
            return reply
        finally:
            session.active -= 1
            if not resting:
                session.rest()
            if is_last is not None and is_last():
                await self.end_idle(root)

    async def end_idle(self, root: str) -> None:
        """End a root run that no call is made in, and that none waits in."""
        session = self.sessions.newest(root)
        if session is not None and not session.active and not session.is_awaited:
            await self.sessions.end(root)

    async def answer(self, call: ToolCall, root: str, question: "SessionQuestion", value: Any) -> str:
        """Continue a call after its question was answered; returns why the value is no answer, empty if it is one."""
        session = await self.sessions.open(root, {})
        key = key_of(call)
        asked = session.questions.get(key, question)
        if asked.text != question.text:
            return ""  # it asks another question now
        session.work()
        try:
            self.adoption.calls[call_token(session.run_id, key)] = call
            return await self._resume(session, asked, value)
        finally:
            session.rest()

    async def _resume(self, session: Session, asked: "SessionQuestion", value: Any) -> str:
        resumed = session.resuming(asked.run_id)
        work = self.orc.resume(asked.run_id, value, question=asked.id)  # it ends when the root run does
        resuming = asyncio.create_task(work)
        self._resuming.add(resuming)
        resuming.add_done_callback(self._resuming.discard)
        waited: set[asyncio.Future[Any]] = {resuming, resumed}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if resuming.done() and isinstance(error := resuming.exception(), InputError):
            return str(error)
        return ""

    async def shown(self, root: str, task: str) -> Mapping[str, Any]:
        """What `show` stored for a task of the graph, perhaps in another process; empty if nothing."""
        context = await (await self.sessions.open(root, {})).opened
        return context.kept(_shown(task)) or {}

    async def show(self, root: str, task: str, shown: Mapping[str, Any]) -> None:
        """Store the call of a graph task for which a person is asked."""
        context = await (await self.sessions.open(root, {})).opened
        await context.keep(_shown(task), dict(shown))

    async def settle(self, root: str) -> None:
        """Wait until the other calls of a turn have ended or wait for people, because an interrupt drops running
        calls.
        """
        session = await self.sessions.open(root, {})
        await session.settle(self.orc.policy.patience)

    async def _reply(self, call: ToolCall, adopted: Any, session: Session, key: str) -> Any:
        token = call_token(session.run_id, key)
        self.adoption.calls[token] = call
        try:
            inputs = adopted.inputs(token, call.tool, call.request.tool_call["args"])
            outcome = await self._reach(call, session, adopted.goal, inputs, key)
        except InputError as error:  # arguments that do not fit the types of the keys
            return call.message(f"{call.tool} was not called: {error}", error=True)
        finally:
            self.adoption.calls.pop(token, None)
        if isinstance(outcome, SessionQuestion):
            return outcome
        if outcome is None or call.interrupted is not None:
            return None
        if outcome.ok:
            return call.reply if call.reply is not None else call.message(as_text(outcome.value))
        return self._failed(call, outcome)

    async def _reach(
        self, call: ToolCall, session: Session, goal: str, inputs: Mapping[str, Any], key: str
    ) -> "Outcome[Any] | SessionQuestion | None":
        if key in session.questions:
            return session.questions[key]
        task = session.pending.pop(key, None)
        if task is None:
            context = await session.opened
            interrupts = context.kept(_interrupts(key)) or 0
            call.on_interrupt = partial(context.keep, _interrupts(key), interrupts + 1)
            again = f"~{interrupts}" if interrupts else ""
            task = asyncio.create_task(_outcome(context.reach(Goal(goal), inputs, key=f"{key}{again}")))
        notice = call.notice = session.listen(key)
        ended = partial(_wake, notice)
        task.add_done_callback(ended)
        try:
            question = await notice if not task.done() else None
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            task.remove_done_callback(ended)
            session.stop_listening(key)
        if task.done():
            return task.result()
        if question is None:  # the graph was interrupted
            task.cancel()
            return None
        session.pending[key] = task
        session.questions[key] = question
        return question

    def _failed(self, call: ToolCall, outcome: "Outcome[Any]") -> Any:
        """The tool's own error message if no alternative was tried; else one statement about all attempts.

        If the caller configured how a node handles errors, an error of the tool alone is handled that way, and may be
        raised.
        """
        kinds = {failure.kind for failure in outcome.failures}
        alone = {failure.tool for failure in outcome.failures} <= {call.tool}
        own = call.results.get(call.tool)
        if alone and own is not None and (self._as_original or kinds <= ABOUT_THE_CALL):
            return own
        if alone and self._as_original and call.errors:
            raise call.errors[-1]
        return call.message(statement(call.tool, outcome, f"effects={{{call.tool!r}: 'read'}}"), error=True)


def _parts_of(orc: Orchestrator) -> tuple[Adoption, Sessions]:
    """The shared state of all agents and nodes that one orchestrator heals."""
    found: tuple[Adoption, Sessions] | None = orc.__dict__.get(_PARTS)
    return found or orc.__dict__.setdefault(_PARTS, (Adoption(orc), Sessions(orc)))


def _wake(notice: "asyncio.Future[Any]", ended: object) -> None:
    del ended
    if not notice.done():
        notice.set_result(None)


async def _outcome(reaching: Any) -> Any:
    try:
        return await reaching
    except Escalated as error:
        return error.outcome


def _interrupts(key: str) -> str:
    """Name under which the root run stores how often a call was interrupted: each repetition is another child run."""
    return f"interrupts of {key}"


def _shown(task: str) -> str:
    return f"question of {task}"


def key_of(call: ToolCall) -> str:
    """Distinguishes the calls of an agent; the same when a graph runs its node again after an interrupt."""
    state: Any = call.request.state
    messages: Any = state
    if not isinstance(state, list):
        messages = cast("Mapping[str, Any]", state).get("messages", ()) if isinstance(state, Mapping) else ()
    request_json = json.dumps([call.name, call.request.tool_call["args"], len(messages)], sort_keys=True, default=repr)
    again = f"-{call.number + 1}" if call.number else ""
    named = (
        call.id if _PLAIN.fullmatch(call.id) else hashlib.sha256(call.id.encode("utf-8", "replace")).hexdigest()[:16]
    )
    return f"{named}-{hashlib.sha256(request_json.encode()).hexdigest()[:8]}{again}"


def _checked(effects: Any) -> Mapping[str, str]:
    if effects is not None and not isinstance(effects, Mapping):
        raise DefinitionError(f"effects= is a mapping tool -> 'read', 'write' or 'irreversible', not {effects!r}.")
    known = ("read", "write", "irreversible")
    stated = cast("Mapping[str, str]", effects or {})
    for name, effect in stated.items():
        if effect not in known:
            raise DefinitionError(f"effects= says {effect!r} of {name!r}; an effect is one of {', '.join(known)}.")
    return stated


__all__ = ["Healer", "SessionQuestion", "key_of"]
