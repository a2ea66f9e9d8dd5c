"""`Stepped`: awaits a coroutine step by step, with something done around each step between two awaits."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator
from typing import Any


class Stepped(ABC):
    """Awaits work as `await` does; a subclass says what happens before and after each of its steps."""

    def __init__(self, work: Awaitable[Any]) -> None:
        self._work = work

    @abstractmethod
    def before(self) -> None:
        """A step begins."""

    @abstractmethod
    def after(self) -> None:
        """A step has ended, whether it returned, raised or awaits something."""

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        send, value = steps.send, None
        error: BaseException | None = None
        while True:
            self.before()
            try:
                yielded = send(value) if error is None else steps.throw(error)
            except StopIteration as stop:
                return stop.value
            finally:
                self.after()
            error = None
            try:
                value = yield yielded
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as thrown:
                error = thrown


__all__ = ["Stepped"]
