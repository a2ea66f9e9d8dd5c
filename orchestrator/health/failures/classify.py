"""The class of a failure: `classify`, and the table of rules behind it.

| kind | examples | health | answer |
|---|---|---|---|
| transient | timeout, connection reset, 429, 502/503/504 | falls | retry within budget, then reroute |
| outage | `Unavailable`, a name that does not resolve, a missing program or package | falls | reroute |
| account | 401, 402; of clients of models also 403, 404 and limits of use | its circuit opens at once | reroute |
| invalid output | schema or `ensure` rejects it, malformed JSON | falls | re-ask an agent, else reroute |
| refusal | `Refused`: not found, no seats | unchanged | unusable in this run for these inputs |
| caller error | bad arguments, 400, 403 | unchanged | no retry |
| ambiguous | a write that may have happened | falls | reconcile, or escalate |
| bug | any other exception | falls | reroute |
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from orchestrator.core.calls.user_code import call_plain
from orchestrator.core.enums import ABOUT_THE_CALL, Effect, FailureKind
from orchestrator.core.errors import (
    CallerError,
    DefinitionError,
    InputError,
    InvalidOutput,
    RateLimited,
    Refused,
    ToolError,
    Unavailable,
)
from orchestrator.core.failure import Failure
from orchestrator.core.outcome import Escalated, NoRoute
from orchestrator.core.privacy.redaction import message_of, raised_at, redact, traceback_of, type_name_of
from orchestrator.core.privacy.secret_search import secret_strings
from orchestrator.graph.tool import Tool

from .inspect import (
    UNCERTAIN_STATUS,
    from_library,
    names_of,
    of_status,
    of_text,
    parts_of,
    refused_connection,
    status_of,
)
from .retry_after import is_rate_limit, retry_after_of
from .rules import ROWS, Classification

Match = type[BaseException] | str | Callable[[BaseException], bool]
"""An exception type, the name of one (`"stripe.CardError"`: top package and class), or a predicate."""
Meaning = FailureKind | str | Callable[[BaseException], Any]
"""A kind, or a function of the error that returns one, or `None` for the next row."""

_OWN: Final[tuple[tuple[type[BaseException], FailureKind], ...]] = (
    (Unavailable, FailureKind.OUTAGE),
    (RateLimited, FailureKind.TRANSIENT),
    (Refused, FailureKind.REFUSAL),
    (CallerError, FailureKind.CALLER_ERROR),
    (InvalidOutput, FailureKind.INVALID_OUTPUT),
    (Escalated, FailureKind.REFUSAL),
    (InputError, FailureKind.CALLER_ERROR),
    (NoRoute, FailureKind.REFUSAL),
)
_PROOF: Final = (Unavailable, Refused, RateLimited, CallerError)
_STATED: Final = (FailureKind.OUTAGE, FailureKind.ACCOUNT, FailureKind.REFUSAL, FailureKind.CALLER_ERROR)
_MAX_LINKS: Final = 8


class FailureTable:
    """A project's own rows, which are tried in order before the built-in ones. Immutable.

    FailureTable([(CardDeclined, "refusal"), ("stripe.APIConnectionError", "transient"), (is_maintenance, "outage")])
    """

    def __init__(self, rows: Iterable[tuple[Match, Meaning]] = ()) -> None:
        self.rows: tuple[tuple[Match, Meaning], ...] = tuple((_match(match), _meaning(kind)) for match, kind in rows)

    def stated(self, error: BaseException) -> FailureKind | None:
        """The kind by the project's rows; `None` if none matches. A row that raises is skipped."""
        for match, meaning in self.rows:
            try:
                if call_plain(_matches, match, error):
                    kind = call_plain(meaning, error) if callable(meaning) else meaning
                    if kind is not None:
                        return FailureKind(kind)
            except Exception:
                continue
        return None


_EMPTY: Final = FailureTable()


def _match(match: Match) -> Match:
    if isinstance(match, str):
        if not re.fullmatch(r"\w+(\.\w+)+", match):
            raise DefinitionError(f"A failure row names an exception as 'package.Class', not {match!r}.")
    elif not callable(match):
        raise DefinitionError(f"A failure row matches an exception type, its name or a predicate, not {match!r}.")
    return match


def _meaning(meaning: Meaning) -> Meaning:
    if callable(meaning):
        return meaning
    try:
        return FailureKind(meaning)
    except ValueError:
        known = ", ".join(repr(str(kind)) for kind in FailureKind)
        raise DefinitionError(f"A failure is one of {known}, not {meaning!r}.") from None


def _matches(match: Match, error: BaseException) -> bool:
    if isinstance(match, str):
        package, name = match.split(".")[0], match.split(".")[-1]
        return any(base.__name__ == name and base.__module__.split(".")[0] == package for base in type(error).__mro__)
    return isinstance(error, match) if isinstance(match, type) else bool(match(error))


def classify(error: BaseException, tool: Tool, *, started: bool, table: FailureTable | None = None) -> FailureKind:
    """The kind of a failure; never raises: an error that no row matches is a `bug`.

    The tool's own `classify` decides first, then the project's `table`, then the framework's exceptions and the shipped
    rows. `started` says whether the call had begun. Once a `write` or `irreversible` call has, only proof that nothing
    happened keeps an error from being `ambiguous`: `Unavailable`, `Refused`, `RateLimited`, `CallerError`, a refused
    connection, an HTTP answer that declines (4xx other than a timeout or a conflict), or a row of the user that says
    refusal, caller error, or (the tool's own) outage. A write whose output is invalid did happen.
    """
    own = _stated_by_tool(error, tool)
    stated = own or (table or _EMPTY).stated(error)
    if tool.effect is Effect.READ or not started:
        return stated or _shipped(error)
    if own in _STATED or stated in ABOUT_THE_CALL or stated is FailureKind.ACCOUNT:
        return stated or FailureKind.AMBIGUOUS
    if isinstance(error, InvalidOutput):
        return FailureKind.INVALID_OUTPUT
    if stated is FailureKind.AMBIGUOUS or not nothing_happened(error):
        return FailureKind.AMBIGUOUS
    return stated or _shipped(error)


def nothing_happened(error: BaseException) -> bool:
    """Whether an error out of a started call proves that the call had no effect."""
    parts = parts_of(error)
    if parts:
        return all(nothing_happened(part) for part in parts)
    if isinstance(error, _PROOF) or refused_connection(error):
        return True
    if isinstance(error, ToolError | OSError) and not hasattr(error, "response"):
        return False
    status = status_of(error) if from_library(error) else None
    return status is not None and 400 <= status < 500 and status not in UNCERTAIN_STATUS


def _stated_by_tool(error: BaseException, tool: Tool) -> FailureKind | None:
    if tool.classify is None:
        return None
    try:
        kind = call_plain(tool.classify, error)
        return None if kind is None else FailureKind(kind)
    except Exception:  # a row that raises is skipped; the error itself is still classified
        return None


def _shipped(error: BaseException) -> FailureKind:
    return _decided(error, 0)[0]


def _decided(error: BaseException, depth: int) -> tuple[FailureKind, BaseException]:
    """The kind by the built-in rows, and the deciding error: for a wrapper or a group, one inside."""
    parts = parts_of(error)
    if parts:
        found = [_decided(part, depth + 1) for part in parts]
        return found[0] if len({kind for kind, _ in found}) == 1 else (FailureKind.BUG, error)
    for kind_of, kind in _OWN:
        if isinstance(error, kind_of):
            return kind, error
    for name in names_of(type(error)):
        verdict = _verdict(name, error)
        if isinstance(verdict, FailureKind):
            return verdict, error
        if verdict is not None and depth < _MAX_LINKS:
            return _decided(verdict, depth + 1)
    status = status_of(error) if from_library(error) else None
    return (of_status(status) if status is not None else None) or FailureKind.BUG, error


def kind_of_error(error: BaseException) -> FailureKind:
    """The kind by the framework's own table alone, for an error that no tool raised."""
    return _shipped(error)


def _verdict(name: str, error: BaseException) -> Classification:
    row = ROWS.get(name)
    if row is None or isinstance(row, FailureKind):
        return row
    try:
        return row(error)
    except Exception:  # an object that only looks like the library's error
        return None


def retryable(kind: FailureKind) -> bool:
    """Whether the same call may be repeated unchanged."""
    return kind is FailureKind.TRANSIENT


def counts_for_health(kind: FailureKind) -> bool:
    """Whether a failure of this kind counts for the tool's health."""
    return kind not in ABOUT_THE_CALL


def no_error_text(output: Any) -> bool:
    """An `ensure=` for tools that return `"Error: no seats"` as a result.

    Raises `Refused`, `CallerError`, `RateLimited`, `Unavailable` or `ToolError` by the words; anything else passes.
    """
    if not isinstance(output, str) or not re.match(r"\s*(error|exception|failed)\b", output, re.IGNORECASE):
        return True
    kind = of_text(output)
    text = output.strip()[:500]
    if kind is FailureKind.TRANSIENT:
        raise RateLimited(text) if re.search(r"rate.?limit|too many", text, re.IGNORECASE) else TimeoutError(text)
    raise {FailureKind.OUTAGE: Unavailable, FailureKind.CALLER_ERROR: CallerError}.get(kind, Refused)(text)


def failure_of(
    error: BaseException, kind: FailureKind, tool: str, *, secrets: Iterable[str] = (), **place: Any
) -> Failure:
    """Make the failure of an exception; `place` has `id`, `call_id`, `attempt`, `step` and `at`.

    The message of a bug starts with the exception's type and ends with file and line: `KeyError: 'id' (shop.py:10)`.
    """
    known = tuple(secrets)
    message = message_of(error, known)
    shipped, deciding = _decided(error, 0)
    if shipped is FailureKind.BUG and not isinstance(error, ToolError):
        message = _bug_message(error, message)
    return Failure(
        tool=tool,
        kind=kind,
        message=message,
        retry_after=retry_after_of(deciding, place.get("at")),
        rate_limited=kind is FailureKind.TRANSIENT and is_rate_limit(deciding),
        error_type=type_name_of(error),
        status=status_of(deciding) if from_library(deciding) else None,
        traceback=traceback_of(error, known),
        **place,
    )


def _bug_message(error: BaseException, message: str) -> str:
    name, place = type_name_of(error), raised_at(error)
    described = name if message in (name, type(error).__name__) else f"{name}: {message}"
    if isinstance(error, AttributeError | TypeError) and "'coroutine' object" in message:
        described += ": an `await` is missing"
    return f"{described} ({place})" if place else described


__all__ = [
    "FailureTable",
    "classify",
    "counts_for_health",
    "failure_of",
    "is_rate_limit",
    "kind_of_error",
    "message_of",
    "no_error_text",
    "nothing_happened",
    "of_text",
    "redact",
    "retry_after_of",
    "retryable",
    "secret_strings",
    "traceback_of",
]
