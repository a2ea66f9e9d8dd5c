"""What the annotations of a tool mean, where the user trusts the server that wrote them."""

from collections.abc import Callable
from typing import Any

import mcp_types as types

from orchestrator.types import NOT_DONE, Effect


def effect_of(annotations: types.ToolAnnotations | None, *, trusted: bool) -> Effect:
    """`read`, `write` or `irreversible`. What an untrusted server says of itself counts for nothing: it writes."""
    if not trusted or annotations is None or not annotations.read_only_hint:
        destroys = trusted and annotations is not None and annotations.destructive_hint
        return Effect.IRREVERSIBLE if destroys else Effect.WRITE
    return Effect.READ


def reconcile_of(annotations: types.ToolAnnotations | None, *, trusted: bool) -> Callable[..., Any] | None:
    """For a tool that may be called again without harm: whether an uncertain call took place does not matter."""
    return _do_it_again if trusted and annotations is not None and annotations.idempotent_hint else None


def _do_it_again(**inputs: Any) -> Any:
    """It may have happened; happening again changes nothing."""
    del inputs
    return NOT_DONE
