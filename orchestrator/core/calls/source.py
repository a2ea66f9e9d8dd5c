"""Source locations: file and line of callables and callers, for messages."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final


def _working_directory() -> str:
    try:
        return os.getcwd() + os.sep
    except OSError:  # the folder was deleted
        return os.sep


_HERE: Final = _working_directory()
"""Read once, because a tool may be created in an event loop, which must not do I/O."""


def place_of(call: Callable[..., Any]) -> str:
    """`shop.py:12` for a function, method or class written in Python; empty for anything else."""
    target: Any = call
    while isinstance(target, functools.partial):
        target = target.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    code = getattr(inspect.unwrap(target), "__code__", None)  # pyright: ignore[reportUnknownArgumentType]
    if code is None:
        return ""
    return _written(code.co_filename, code.co_firstlineno)


def calling_place() -> str:
    """File and line of the nearest caller outside the framework; empty when there is none."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if not str(frame.f_globals.get("__name__")).startswith("orchestrator."):
            return _written(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return ""


def _written(file: str, line: int) -> str:
    """The path relative to the working directory that the program began in where it is below it, else whole."""
    return f"{file.removeprefix(_HERE)}:{line}"


def at(place: str) -> str:
    """A place in brackets for the end of a message; empty without one."""
    return f" ({place})" if place else ""
