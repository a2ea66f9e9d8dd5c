"""Keeps argument values out of what is recorded about an error: its message and its traceback.

An exception often quotes its arguments (`invalid literal for int(): '4111 1111 ...'`). Records are private by default,
so every text that comes from an exception passes through `redact` with the strings of the call's inputs.
"""

import logging
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from orchestrator.core.text import plain, shortened
from orchestrator.core.types.schema import explain

from .secret_search import find_secrets

Redact = Callable[[str, Any], Any]
"""(key, value) -> what may be shown of the value of that key."""
FAILED: Final = "[redaction failed]"

LOG: Final = logging.getLogger("orchestrator")

_general: Redact | None = None


def set_general_hook(redact: Redact | None) -> None:
    """Set the default hook, for callers that pass none."""
    global _general
    _general = redact


def redacted_values(values: Mapping[str, Any], redact: Redact | None) -> dict[str, Any]:
    """The values after the hook; `None`: unchanged. When the hook fails, the value is left out."""
    return {key: _shown(key, value, redact) for key, value in values.items()}


def shown_outside(values: Mapping[str, Any], redact: Redact | None) -> dict[str, Any]:
    """As `redacted_values`, by default with the general hook (`tracing.setup(redact=...)`)."""
    return redacted_values(values, redact if redact is not None else _general)


def _shown(key: str, value: Any, redact: Redact | None) -> Any:
    if redact is None:
        return value
    try:
        return redact(key, value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # `SystemExit` too: a hook must not end the run
        LOG.warning("The redaction hook failed on %s: %s", key, type(error).__name__)
        return FAILED


LONGEST_MESSAGE: Final = 1000
LONGEST_TRACEBACK: Final = 20_000
MARK: Final = "[redacted]"


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` without the secrets: whole (unchanged, in other case, escaped, encoded) or quoted in part.

    A part counts when it has at least twelve characters, or is one word of a secret with a digit or an `@` in it.
    """
    text = text.replace("\x00", " ")
    return _without(text, find_secrets(text, secrets))


def _redact_whole(text: str, secrets: Iterable[str]) -> str:
    """As `redact`, whole secrets only: for long texts that quote nothing in part."""
    return _without(text, find_secrets(text, secrets, parts=False))


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with each group of overlapping spans replaced by a mark."""
    kept: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if start >= done:
            kept += [text[done:start], MARK]
        done = max(done, end)
    return "".join([*kept, text[done:]])


def message_of(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """The message of an exception in one printable line of at most a thousand characters, without the secrets."""
    try:
        text = explain(error) if isinstance(error, ValidationError) else str(error)
    except Exception:
        text = ""
    known = tuple(secrets)
    text = redact(text[: LONGEST_MESSAGE * 4], known)
    line = plain(text)
    if line != text:  # removing escape sequences may have joined parts of a secret
        line = redact(line, known)
    return shortened(line, LONGEST_MESSAGE) or type(error).__name__


def traceback_of(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """The traceback with its causes: places and source lines, never values; at most 20,000 characters."""
    known = tuple(secrets)
    blocks: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        frames = _redact_whole("".join(traceback.format_tb(link.__traceback__)), known)
        blocks.append(f"Traceback (most recent call last):\n{frames}{type_name_of(link)}: {message_of(link, known)}\n")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    text = "\nfollowed by\n\n".join(reversed(blocks))
    return text if len(text) <= LONGEST_TRACEBACK else "…" + text[1 - LONGEST_TRACEBACK :]


def type_name_of(error: BaseException) -> str:
    """The type of an exception as people know it: `ValueError`, `httpx.ReadTimeout`."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def raised_at(error: BaseException) -> str:
    """Where an exception was raised, as `shop.py:10`: the innermost line of the user's own code, else the innermost.

    Empty for an exception that was never raised.
    """
    place = own = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        place = f"{Path(file).name}:{line}"
        if is_own(file):
            own = place
    return own or place


def is_own(file: str) -> bool:
    """Whether a file is code of the user."""
    return not file.startswith("<") and not any(Path(file).is_relative_to(folder) for folder in _foreign_folders())


@cache
def _foreign_folders() -> tuple[Path, ...]:
    """Folders of code that is not the user's: the framework, the standard library, installed packages."""
    ours = Path(__file__).parents[2]
    parts = [path for path in ours.iterdir() if path.name != "catalog"]
    paths = sysconfig.get_paths()
    return (*parts, *{Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
