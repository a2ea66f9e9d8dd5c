"""Errors as tools raise them, and what they mean out of a read and out of a write that had begun."""

from collections.abc import Callable
from typing import Any

import httpx
from pydantic import BaseModel

from orchestrator.core.enums import FailureKind
from orchestrator.graph.tool import Tool
from orchestrator.health.failures.classify import (
    classify,
)


def a_tool(effect: str = "read", classify_: Callable[[BaseException], Any] | None = None) -> Tool:
    def call(a: int) -> int:
        return a

    if classify_ is None:
        return Tool(call, name="t", gives="b", effect=effect)
    return Tool(call, name="t", gives="b", effect=effect, classify=classify_)


READ, WRITE = a_tool(), a_tool("write")


def of_read(error: BaseException) -> FailureKind:
    """The kind of an error out of a read."""
    return classify(error, READ, started=True)


def of_write(error: BaseException) -> FailureKind:
    """The kind of an error out of a write that had begun."""
    return classify(error, WRITE, started=True)


def http_error(status: int, **headers: str) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://example.test")
    return httpx.HTTPStatusError(
        f"status {status}", request=request, response=httpx.Response(status, request=request, headers=headers)
    )


def raised(action: Callable[[], Any]) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


class Shape(BaseModel):
    """Something with a schema."""

    side: int


class Unlisted(Exception):
    """An exception that nobody knows."""
