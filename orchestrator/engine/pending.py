"""`PendingWaits`: what the calls of a run wait for now: people and child runs."""

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.core.route import Impasse


class Waiter(Protocol):
    """A run, as far as it may wait for people."""

    @property
    def waits(self) -> bool:
        """Whether it waits for people, and no answer has been submitted."""
        ...

    @property
    def is_at_rest(self) -> bool:
        """Whether it waits and no task drives it any more."""
        ...


@dataclass(eq=False, slots=True)
class CallQuestion:
    """A question of a call in flight, which stays suspended until it is answered."""

    tool: str
    call_id: str
    text: str
    wanted: str
    """The name of the type of the answer; empty for any type."""
    answered: "asyncio.Future[Any]"

    def asks(self, impasse: Impasse) -> bool:
        """Whether this impasse has the same question: the same step, text and type."""
        mine = (self.tool, self.text, self.wanted)
        return mine == (impasse.subject, impasse.question, impasse.answer_type or "")


@dataclass(eq=False, slots=True)
class Reach:
    """A child run that a call awaits."""

    call_id: str
    child_id: str


class PendingWaits:
    """The waits of all calls in flight. The code that waits adds and removes its entry, so no entry outlives it."""

    def __init__(self, children: Mapping[str, Waiter]) -> None:
        self._children = children
        """The child runs that have not ended, by id."""
        self.reaches: list[Reach] = []
        """Child runs that calls in flight await."""
        self.questions: list[CallQuestion] = []
        """Questions of calls in flight."""

    @contextmanager
    def reaching(self, call_id: str, child_id: str) -> Generator[None]:
        """Context in which a call awaits this child run."""
        reach = Reach(call_id, child_id)
        self.reaches.append(reach)
        try:
            yield
        finally:
            if reach in self.reaches:
                self.reaches.remove(reach)

    @contextmanager
    def asking(self, question: CallQuestion) -> Generator[None]:
        """Context in which a call awaits the answer to a question."""
        self.questions.append(question)
        try:
            yield
        finally:
            if question in self.questions:
                self.questions.remove(question)

    def end(self, call_id: str) -> None:
        """Clean up after a call: cancel its tasks that still ask, and withdraw their questions."""
        for question in tuple(self.questions):
            if question.call_id != call_id:
                continue
            self.questions.remove(question)
            question.answered.cancel()

    def drop(self) -> None:
        """Forget all waits: the event loop of the calls is gone."""
        self.questions.clear()
        self.reaches.clear()

    def only_people(self, call_id: str) -> bool:
        """Whether a call waits for nothing but people's answers, here or in child runs."""
        asked = [question for question in self.questions if question.call_id == call_id]
        reached = [reach for reach in self.reaches if reach.call_id == call_id]
        if not asked and not reached:
            return False
        open_still = all(not question.answered.done() for question in asked)
        return open_still and all(self._child_waits(reach.child_id) for reach in reached)

    def _child_waits(self, child_id: str) -> bool:
        child = self._children.get(child_id)
        return child is not None and child.waits and child.is_at_rest


__all__ = ["CallQuestion", "PendingWaits"]
