"""Raises the errors of calls in workers in this process, as if the function had raised them here."""

from collections.abc import Callable
from typing import Any, NoReturn

from .wire import CallReply


class WorkerTraceback(Exception):
    """The traceback of an error in a worker, as text: the cause of the error that is raised here."""


def crash_key(call: Callable[..., Any]) -> str:
    """Module and name of a function."""
    name = getattr(call, "__qualname__", None) or type(call).__qualname__
    return f"{getattr(call, '__module__', '')}.{name}"


def raise_reply(reply: CallReply, error: BaseException, call: Callable[..., Any]) -> NoReturn:
    """Raise the error of a call as it was raised in the worker."""
    cause = WorkerTraceback(reply.traceback) if reply.traceback else None
    if not isinstance(error, Exception):
        raise RuntimeError(f"the tool raised {type(error).__name__}: {error}") from cause
    error.__cause__ = cause
    if reply.place is not None:
        raise_at(error, *reply.place)
    raise_in(call, error)


def raise_in(call: Callable[..., Any], error: BaseException) -> NoReturn:
    """Raise an error with the function as its place: for native code no line is known."""
    code = getattr(call, "__code__", None)
    if code is not None:
        raise_at(error, code.co_filename, code.co_firstlineno, code.co_name)
    raise error


def raise_at(error: BaseException, file: str, line: int, function: str) -> None:
    """Raise an error with a traceback that ends where it was raised in the worker."""
    code = compile("\n" * (line - 1) + "raise error", file, "exec").replace(co_name=function)
    exec(code, {"error": error})
