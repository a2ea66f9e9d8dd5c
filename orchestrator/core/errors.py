"""Every exception of the framework.

    OrchestratorError
    ├── DefinitionError      a tool, agent, transition, policy or project is wrong as written
    ├── InputError           a run was asked for with wrong names or values
    ├── NoRoute              planning found no feasible route (.impasse)
    │   └── UnknownGoal      nothing gives or needs the goal; an InputError too
    ├── Escalated            no goal was reached and its value was asked for (.outcome)
    ├── StoreError           the store cannot be read or written
    ├── WorkerCrashed        the worker process of a call with `isolation="process"` died
    └── ToolError            raised by tools, to say what happened
        ├── Unavailable      nothing happened: the tool cannot be used now
        ├── RateLimited      nothing happened: too many calls (.retry_after, seconds)
        ├── Refused the tool works and declined: no seats, not found
        ├── CallerError      the call was wrong: bad arguments, no permission
        └── InvalidOutput    the call returned what its schema or `ensure` rejects

`NoRoute`, `UnknownGoal` and `Escalated` stand in `outcome.py`, beside what they carry.

The first four are mistakes or ends that a caller handles; a `ToolError` never leaves a run: it becomes a failure.
"""

import math
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class OrchestratorError(Exception):
    """Root of every exception that the framework raises on purpose."""


class DefinitionError(OrchestratorError):
    """Something is wrong as written: a tool, a transition, a policy file, a project folder."""


class InputError(OrchestratorError):
    """A run was asked for with a wrong name or value."""


class StoreError(OrchestratorError):
    """The store cannot be opened, read or written."""


class OwnershipLost(BaseException):
    """Another process has taken over the run, so this one stops at once. Never raised out of `run`.

    Not an `Exception`: neither a user's function nor failure handling may mistake it for a failure of a tool.
    """


class WorkerCrashed(OrchestratorError):
    """The worker process of a call died: native code crashed, or it was killed. It is unknown what it had done."""


class ToolError(OrchestratorError):
    """Base of what a tool raises to say what happened."""


class Unavailable(ToolError):
    """The tool cannot be used now, and nothing happened."""


class RateLimited(ToolError):
    """Too many calls; nothing happened. `retry_after` is in seconds, `None` when the server did not say.

    A `Retry-After` header may be given as it is, if it holds seconds. Raises `DefinitionError` for anything else.
    """

    def __init__(self, message: str = "rate limited", *, retry_after: float | str | None = None) -> None:
        if not isinstance(message, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"RateLimited: message is a text. Write RateLimited(retry_after={message!r}).")
        super().__init__(message)
        self.retry_after = None if retry_after is None else _seconds_to_wait(retry_after)


def _seconds_to_wait(given: object) -> float:
    try:
        seconds = math.nan if isinstance(given, bool | bytes | bytearray) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        shown = repr(given)[:60] if not isinstance(given, int) or abs(given) < 10**60 else "a number of many digits"
        raise DefinitionError(f"RateLimited: retry_after is a number of seconds, at least 0, or None; not {shown}.")
    return seconds


class Refused(ToolError):
    """The tool works and declined (no seats, not found). It does not change the tool's health."""


class CallerError(ToolError):
    """The call itself was wrong: bad arguments, missing permission. Calling again will not help."""


class InvalidOutput(ToolError):
    """The call returned something that its schema or its `ensure` rejects."""


def nearest(name: str, known: "Iterable[str]") -> str:
    """A hint such as ` Did you mean 'brief'?`, or an empty string when nothing is near."""
    matches = get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    if not matches:
        return ""
    return " Did you mean " + " or ".join(repr(match) for match in matches) + "?"
