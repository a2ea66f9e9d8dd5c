"""The recorded conversation of a chat-model agent: it continues after a question, a crash or a retry."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.core.context import RunContext
from orchestrator.core.enums import FailureKind

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, BaseMessage


class UnansweredToolCall(Exception):
    """A tool of an agent's own was called, its answer was lost, and it may have written something."""


def agent_failure(error: BaseException) -> FailureKind | None:
    """The row of the failure table for `UnansweredToolCall`: it is ambiguous, whatever the agent's effect."""
    return FailureKind.AMBIGUOUS if isinstance(error, UnansweredToolCall) else None


def unanswered_call(tool: str) -> UnansweredToolCall:
    """The error for a call of `tool` whose answer was lost."""
    return UnansweredToolCall(
        f"the call of its tool {tool!r} was interrupted and may have taken effect, so it is not made again; "
        "tools that only read: declare them as Tool(..., effect='read'), or the agent with effect='read'"
    )


@dataclass
class Conversation:
    """The messages of one step of one run. They are recorded from the first tool call on; before it, no effect has
    happened, and a new attempt starts from the beginning.
    """

    ctx: RunContext[Any]
    name: str
    messages: "list[BaseMessage]" = field(default_factory=list[Any])
    recorded: int = 0
    """Number of recorded messages."""
    answers: dict[int, "BaseMessage"] = field(default_factory=dict[int, Any])
    """Answered calls of the last turn, by position."""
    replayed: dict[tuple[str, str], "BaseMessage"] = field(default_factory=dict[tuple[str, str], Any])
    """Answers recorded before the conversation was restored, by id and name of the call: a model that repeats such a
    call gets the answer again.
    """

    @classmethod
    def of(cls, ctx: RunContext[Any], opening: "Sequence[BaseMessage]", identity: str) -> "Conversation":
        """The recorded conversation that began with `identity`; a new one with the `opening` messages if there is none.

        An agent that is called with other inputs in the same run has another conversation.
        """
        from langchain_core.messages import ToolMessage

        made = cls(ctx, hashlib.sha256(identity.encode()).hexdigest()[:12])
        made._restore()
        made.replayed = {(m.tool_call_id, m.name or ""): m for m in made.messages if isinstance(m, ToolMessage)}
        if not made.messages:
            made.messages = list(opening)
        return made

    def _restore(self) -> None:
        from langchain_core.messages import AIMessage, messages_from_dict

        def at(place: int) -> "BaseMessage | None":
            kept = self.ctx.kept(f"{self.name}.{place}")
            return None if kept is None else messages_from_dict([kept])[0]

        while (message := at(len(self.messages))) is not None:
            self.messages.append(message)
            self.recorded = len(self.messages)
            if not isinstance(message, AIMessage) or not message.tool_calls:
                continue
            found = {n: at(len(self.messages) + n) for n in range(len(message.tool_calls))}
            self.answers = {n: answer for n, answer in found.items() if answer is not None}
            if len(self.answers) < len(message.tool_calls):
                return
            self._close_turn()

    @property
    def turn(self) -> "AIMessage | None":
        """The last message, if it calls tools that are not all answered."""
        from langchain_core.messages import AIMessage

        last = self.messages[-1]
        return last if isinstance(last, AIMessage) and last.tool_calls else None

    @property
    def answered(self) -> "AIMessage | None":
        """The final answer, if it is recorded already."""
        from langchain_core.messages import AIMessage

        last = self.messages[-1]
        return last if self.recorded and isinstance(last, AIMessage) and not last.tool_calls else None

    async def add(self, message: "BaseMessage") -> None:
        """Append a message; with the first tool call, or later, all that is not on record is recorded."""
        from langchain_core.messages import messages_to_dict

        self.messages.append(message)
        if self.recorded or self.turn is not None:
            for place in range(self.recorded, len(self.messages)):
                await self.ctx.keep(f"{self.name}.{place}", messages_to_dict([self.messages[place]])[0])
            self.recorded = len(self.messages)

    async def started(self, position: int, tool: str, *, repeatable: bool) -> None:
        """Record that a call of the turn starts. Raises `UnansweredToolCall` if it had started before."""
        mark = f"{self.name}.{len(self.messages)}.{position}.started"
        if repeatable:
            return
        if self.ctx.kept(mark):
            raise unanswered_call(tool)
        await self.ctx.keep(mark, True)

    async def answer(self, position: int, message: "BaseMessage") -> None:
        """Record the answer of a call of the turn."""
        from langchain_core.messages import messages_to_dict

        self.answers[position] = message
        await self.ctx.keep(f"{self.name}.{len(self.messages) + position}", messages_to_dict([message])[0])
        turn = self.turn
        if turn is not None and len(self.answers) == len(turn.tool_calls):
            self._close_turn()

    def child_key(self, position: int) -> str:
        """The key of the child run that a call of the turn is."""
        return f"{self.name}.{len(self.messages)}.{position}"

    def _close_turn(self) -> None:
        self.messages += [self.answers[n] for n in sorted(self.answers)]
        self.recorded = len(self.messages)
        self.answers = {}


__all__ = ["Conversation", "UnansweredToolCall", "agent_failure", "unanswered_call"]
