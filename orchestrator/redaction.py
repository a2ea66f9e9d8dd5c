"""Keeps argument values out of what is recorded about an error: its message and its traceback.

An exception often quotes what it was given (`invalid literal for int(): '4111 1111 ...'`). Records are private by
default, so every text that comes from an exception passes through `redact` with the strings of the call's inputs.
"""

import dataclasses
import json
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from .schema import explain

SHORTEST: Final = 4
"""Characters; a shorter string says too little to be a secret and occurs in too many words."""
EXCERPT: Final = 12
"""Characters; so long a piece of an input is an excerpt of it, not a coincidence."""
LONGEST_MESSAGE: Final = 1000
LONGEST_TRACEBACK: Final = 20_000
MARK: Final = "[redacted]"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TELLING_WORD = re.compile(r"[^\s,;\"'()\[\]{}<>]*[\d@][^\s,;\"'()\[\]{}<>]*")
_MAX_DEPTH = 12


def secret_strings(value: Any) -> set[str]:
    """The strings in `value` that must not be shown: its leaves of at least four characters, and whole numbers of six.

    Looks into mappings (values and keys), sequences, sets, dataclasses, pydantic models and secrets
    (`get_secret_value`), and into the attributes of other plain objects, such as `deps`.
    """
    return set(_leaves(value, 0, set()))


def _leaves(value: Any, depth: int, seen: set[int]) -> Iterator[str]:
    if value is None or isinstance(value, bool | float) or depth > _MAX_DEPTH:
        return
    if isinstance(value, str):
        if len(value) >= SHORTEST:
            yield value
        return
    if isinstance(value, int):
        if abs(value) >= 10**5:
            yield str(abs(value))
        return
    if isinstance(value, bytes | bytearray):
        yield from _leaves(bytes(value).decode("utf-8", "replace"), depth, seen)
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    for part in _parts(value):
        yield from _leaves(part, depth + 1, seen)


def _parts(value: Any) -> list[Any]:
    if callable(getattr(value, "get_secret_value", None)):
        return [value.get_secret_value()]
    if isinstance(value, Mapping):
        found: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [*found.values(), *found.keys()]
    if isinstance(value, list | tuple | set | frozenset):
        return [*value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, BaseModel):
        return [getattr(value, name, None) for name in type(value).model_fields] + list(
            (value.model_extra or {}).values()
        )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    if isinstance(value, type) or callable(value) or type(value).__module__ in ("builtins", "threading", "asyncio"):
        return []
    try:
        return [*dict[str, Any](vars(value)).values()]  # pyright: ignore[reportUnknownArgumentType]
    except TypeError:
        return []


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` without the secrets: as they are, escaped (as in a `repr` or JSON), or quoted in part.

    A part counts when it has at least twelve characters, or is one word of the secret with a digit or an `@` in it.
    Longest first, so that a secret inside another leaves nothing behind.
    """
    found: set[str] = set()
    for secret in secrets:
        if len(secret) < SHORTEST:
            continue
        found |= {form for form in _forms(secret) if form in text}
        if len(secret) > EXCERPT:
            found |= {word for word in _TELLING_WORD.findall(secret) if len(word) >= 6 and word in text}
            found |= _excerpts(text, secret)
    for form in sorted(found, key=lambda form: (-len(form), form)):
        text = text.replace(form, MARK)
    return text


def _forms(secret: str) -> set[str]:
    forms = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], secret.strip()}
    return {form for form in forms if len(form) >= SHORTEST}


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


def message_of(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """What an exception says, in one printable line of at most a thousand characters, without the secrets."""
    try:
        text = explain(error) if isinstance(error, ValidationError) else str(error)
    except Exception:
        text = ""
    text = redact(text[: LONGEST_MESSAGE * 4], secrets)
    text = " ".join(_CONTROL.sub(" ", text).split())
    if not text:
        return type(error).__name__
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def traceback_of(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """The traceback with its causes: places and source lines, never values; at most 20,000 characters."""
    known = tuple(secrets)
    blocks: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        frames = redact("".join(traceback.format_tb(link.__traceback__)), known)
        blocks.append(f"Traceback (most recent call last):\n{frames}{type_name_of(link)}: {message_of(link, known)}\n")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    text = "\nfollowed by\n\n".join(reversed(blocks))
    return text if len(text) <= LONGEST_TRACEBACK else "…" + text[1 - LONGEST_TRACEBACK :]


def type_name_of(error: BaseException) -> str:
    """The type of an exception as people know it: `ValueError`, `httpx.ReadTimeout`."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
