"""Keeps argument values out of what is recorded about an error: its message and its traceback.

An exception often quotes what it was given (`invalid literal for int(): '4111 1111 ...'`). Records are private by
default, so every text that comes from an exception passes through `redact` with the strings of the call's inputs.
"""

import dataclasses
import json
import logging
import re
import sysconfig
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from .schema import explain
from .text import plain, shortened

Redact = Callable[[str, Any], Any]
"""(key, value) -> what may be shown of the value of that key."""
FAILED: Final = "[redaction failed]"

LOG: Final = logging.getLogger("orchestrator")

_general: Redact | None = None


def set_general_hook(redact: Redact | None) -> None:
    """Choose the hook for whoever has none of its own."""
    global _general
    _general = redact


def shown(values: Mapping[str, Any], redact: Redact | None) -> dict[str, Any]:
    """The values as the hook shows them; `None`: as they are. A hook that fails shows nothing of that value."""
    return {key: _shown(key, value, redact) for key, value in values.items()}


def shown_outside(values: Mapping[str, Any], redact: Redact | None) -> dict[str, Any]:
    """As `shown`, with the general hook (`tracing.setup(redact=...)`) where there is none of its own."""
    return shown(values, redact if redact is not None else _general)


def _shown(key: str, value: Any, redact: Redact | None) -> Any:
    if redact is None:
        return value
    try:
        return redact(key, value)
    except Exception as error:
        LOG.warning("The redaction hook failed on %s: %s", key, type(error).__name__)
        return FAILED


SHORTEST: Final = 4
"""Characters; a shorter string says too little to be a secret and occurs in too many words."""
EXCERPT: Final = 12
"""Characters; so long a piece of an input is an excerpt of it, not a coincidence."""
LONGEST_MESSAGE: Final = 1000
LONGEST_TRACEBACK: Final = 20_000
MARK: Final = "[redacted]"

_BLOCK: Final = 8
_SHORT: Final = 2000
"""Characters; pieces of more are found by blocks, so those under fifteen characters may be missed."""
_LOOKS: Final = 2000
"""Searches that one text may take; then what looks like a piece of a secret counts as one."""
_BETWEEN: Final = "\x00"
_PLAIN: Final = re.compile(r"[ !#-&(-\[\]-~]*")
"""Text that is the same in a `repr` and in JSON."""
_MAX_DEPTH: Final = 12
_MAX_PARTS: Final = 20_000
_WORD = re.compile(r"[^\s,;:=|\"'()\[\]{}<>]{6,}")
_TELLING = re.compile(r"[\d@]")


def secret_strings(value: Any) -> set[str]:
    """The strings in `value` that must not be shown: its leaves of at least four characters, and whole numbers of six.

    Looks into mappings, sequences, sets, dataclasses, pydantic models and secrets (`get_secret_value`); of other
    objects, such as clients in `deps`, at their own strings only.
    """
    found: set[str] = set()
    seen: set[int] = set()
    waiting: deque[tuple[Any, int]] = deque([(value, 0)])
    while waiting and len(seen) < _MAX_PARTS:
        part, depth = waiting.popleft()
        leaf = _leaf(part)
        if leaf is not None:
            found.add(leaf)
        elif not isinstance(part, str | bytes | bytearray | int | float | None) and id(part) not in seen:
            seen.add(id(part))
            if depth < _MAX_DEPTH:
                waiting.extend((inner, depth + 1) for inner in _parts(part))
    return found


def _leaf(value: Any) -> str | None:
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        return value if len(value) >= SHORTEST else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**5:
        return str(abs(value))
    return None


def _parts(value: Any) -> list[Any]:
    if callable(getattr(value, "get_secret_value", None)):
        return [value.get_secret_value()]
    if isinstance(value, Mapping):
        found: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        data = [key for key in found if not isinstance(key, str) or len(key) > 20 or _TELLING.search(key)]
        return [*found.values(), *data]
    if isinstance(value, list | tuple | set | frozenset):
        return [*value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, BaseModel):
        extra = list((value.model_extra or {}).values())
        return [getattr(value, name, None) for name in type(value).model_fields] + extra
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    if isinstance(value, type | ModuleType) or callable(value):
        return []
    own: dict[str, Any] = getattr(value, "__dict__", {})
    return [part for part in own.values() if isinstance(part, str) or hasattr(part, "get_secret_value")]


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` without the secrets: as they are, escaped (as in a `repr` or JSON), or quoted in part.

    A part counts when it has at least twelve characters (fifteen, where there are many secrets), or is one word of a
    secret with a digit or an `@` in it. Longest first, so that a secret inside another leaves nothing behind.
    """
    text = text.replace(_BETWEEN, " ")
    known = sorted({secret for secret in secrets if len(secret) >= SHORTEST})
    found = {form for secret in known for form in _whole(text, secret)}
    joined = _BETWEEN.join(secret for secret in known if len(secret) > EXCERPT)
    words = {word.rstrip(".!?") for word in _WORD.findall(text) if _TELLING.search(word)}
    found |= {word for word in words if word in joined}
    found |= _excerpts(text, joined) if len(joined) <= _SHORT else _excerpts_by_blocks(text, joined)
    return _without(text, found)


def _redact_whole(text: str, secrets: Iterable[str]) -> str:
    """As `redact`, whole secrets only: for long texts that quote nothing in part."""
    return _without(text, {form for secret in secrets if len(secret) >= SHORTEST for form in _whole(text, secret)})


def _without(text: str, found: set[str]) -> str:
    for form in sorted(found, key=lambda form: (-len(form), form)):
        text = text.replace(form, MARK)
    return text


def _whole(text: str, secret: str) -> set[str]:
    """The forms of a whole secret that occur in a text."""
    if len(secret) > 8 * len(text):
        return set()
    forms = {secret, secret.strip()}
    if not _PLAIN.fullmatch(secret):
        forms |= {repr(secret)[1:-1], json.dumps(secret)[1:-1]}
    return {form for form in forms if len(form) >= SHORTEST and form in text}


def _excerpts(text: str, secret: str) -> set[str]:
    """Maximal pieces of `text`, of at least `EXCERPT` characters, that occur in `secret`."""
    found: set[str] = set()
    start = 0
    while start + EXCERPT <= len(text):
        if text[start : start + EXCERPT] not in secret:
            start += 1
            continue
        end = start + EXCERPT
        while end < len(text) and text[start : end + 1] in secret:
            end += 1
        found.add(text[start:end])
        start = end
    return found


def _excerpts_by_blocks(text: str, secret: str) -> set[str]:
    """As `_excerpts`, for long secrets: where a block of the secret occurs, its surroundings are compared."""
    blocks = {secret[at : at + _BLOCK] for at in range(0, len(secret) - _BLOCK + 1, _BLOCK)}
    found: set[str] = set()
    start, looks = 0, 0
    while start + _BLOCK <= len(text):
        if text[start : start + _BLOCK] not in blocks:
            start += 1
            continue
        left, right = start, start + _BLOCK
        while left > 0 and looks < _LOOKS and text[left - 1 : right] in secret:
            left, looks = left - 1, looks + 1
        while right < len(text) and looks < _LOOKS and text[left : right + 1] in secret:
            right, looks = right + 1, looks + 1
        if right - left >= EXCERPT or looks >= _LOOKS:
            found.add(text[left:right])
            start = right
        else:
            start, looks = start + 1, looks + 1
    return found


def message_of(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """What an exception says, in one printable line of at most a thousand characters, without the secrets."""
    try:
        text = explain(error) if isinstance(error, ValidationError) else str(error)
    except Exception:
        text = ""
    known = tuple(secrets)
    text = redact(text[: LONGEST_MESSAGE * 4], known)
    line = plain(text)
    if line != text:  # what an escape sequence parted has come together
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
        if not file.startswith("<") and not any(Path(file).is_relative_to(folder) for folder in _foreign_folders()):
            own = place
    return own or place


@cache
def _foreign_folders() -> tuple[Path, ...]:
    """Folders of code that is not the user's: the framework, the standard library, installed packages."""
    ours = Path(__file__).parents[1]
    parts = [path for path in ours.iterdir() if path.name != "catalog"]
    paths = sysconfig.get_paths()
    return (*parts, *{Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
