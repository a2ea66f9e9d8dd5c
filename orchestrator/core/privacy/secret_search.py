"""Finds secrets in a text: whole or quoted in part, in other case, encoded or escaped.

The text is short, the secrets may be megabytes: each is read once, and memory use depends only on the text.
"""

import base64
import dataclasses
import html
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

SHORTEST: Final = 4
"""Minimum characters of a secret; shorter strings occur in too many words."""
EXCERPT: Final = 12
"""Minimum characters of a common part that counts as an excerpt, not a coincidence."""
LARGE: Final = 100_000
"""Characters of secrets from which the search runs in a thread."""

_BLOCK: Final = 8
_STRIDE: Final = EXCERPT - _BLOCK + 1
"""Block size: every excerpt contains a block that begins at a multiple of it."""
_LOOKS: Final = 2000
"""Maximum number of comparisons for one text; beyond it, a possible piece of a secret counts as one."""
_LONGEST_ENCODED: Final = 10_000
_MAX_DEPTH: Final = 12
_OPAQUE_DEPTH: Final = 4
_MAX_PARTS: Final = 20_000
_PLAIN: Final = re.compile(r"[ !#-&(-\[\]-~]*")
"""Text that is the same in a `repr` and in JSON."""
_WORD: Final = re.compile(r"[^\s,;:=|\"'()\[\]{}<>]{6,}")
_TELLING: Final = re.compile(r"[\d@]")
_SENSITIVE: Final = re.compile(r"key|secret|token|passw|auth|credential|pin|cookie", re.IGNORECASE)
Span = tuple[int, int]


def secret_strings(value: Any) -> set[str]:
    """The strings in `value` that must not be shown: its leaves of at least four characters, and whole numbers of six.

    Looks into mappings, sequences, sets, dataclasses, pydantic models and secrets (`get_secret_value`); into attributes
    and slots of other objects, such as clients in `deps`: at all of the object's own strings, and deeper at those that
    are named or look like secrets.
    """
    found: set[str] = set()
    seen: set[int] = set()
    waiting: deque[tuple[Any, int, bool]] = deque([(value, 0, True)])
    while waiting and len(seen) < _MAX_PARTS:
        part, depth, every = waiting.popleft()
        leaf = _leaf(part)
        if leaf is not None:
            if every or (len(leaf) >= EXCERPT and _TELLING.search(leaf)):
                found.add(leaf)
        elif not isinstance(part, str | bytes | bytearray | int | float | None) and id(part) not in seen:
            seen.add(id(part))
            waiting.extend(_inside(part, depth, every))
    return found


def _leaf(value: Any) -> str | None:
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        return value if len(value) >= SHORTEST else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**5:
        return str(abs(value))
    return None


def _inside(part: Any, depth: int, every: bool) -> Iterator[tuple[Any, int, bool]]:
    parts = _data(part)
    if parts is not None:
        secret = every or callable(getattr(part, "get_secret_value", None))
        if depth < _MAX_DEPTH and not secret and isinstance(part, Mapping):
            named: Mapping[Any, Any] = part  # pyright: ignore[reportUnknownVariableType]
            yield from ((inner, depth + 1, _SENSITIVE.search(str(name)) is not None) for name, inner in named.items())
        elif depth < _MAX_DEPTH:
            yield from ((inner, depth + 1, secret) for inner in parts)
    elif depth < _OPAQUE_DEPTH and not (isinstance(part, type | ModuleType) or callable(part)):
        for name, inner in _attributes(part):
            own = every and isinstance(inner, str | bytes)
            yield inner, depth + 1, own or _SENSITIVE.search(name) is not None


def _data(value: Any) -> list[Any] | None:
    """What plain data is made of; `None` for another object."""
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
    return None


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Attributes and slots, without running properties."""
    own = getattr(value, "__dict__", None)
    if isinstance(own, dict):
        yield from own.items()  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType, reportUnknownArgumentType]
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            inner = kind.__dict__.get(name)
            if inner is not None and hasattr(inner, "__get__"):
                try:
                    yield name, inner.__get__(value)
                except AttributeError:
                    continue


def find_secrets(text: str, secrets: Iterable[str], *, parts: bool = True) -> list[Span]:
    """Where in the text secrets are, as spans that may overlap: whole in any form and, with `parts`, quoted in part."""
    lowered = _lowered(text)
    known = sorted({secret for secret in secrets if len(secret) >= SHORTEST})
    spans = [span for secret in known for span in _whole(lowered, secret)]
    if parts:
        words = {_lowered(word.rstrip(".!?")) for word in _WORD.findall(text) if _TELLING.search(word)}
        blocks = {lowered[at : at + _BLOCK] for at in range(len(lowered) - _BLOCK + 1)}
        for secret in known:
            if len(secret) > EXCERPT:
                spans += _words(lowered, secret, words)
                spans += _excerpts(lowered, secret, blocks)
    return spans


def _lowered(text: str) -> str:
    """The text in lower case, with every character in its place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c if len(c.lower()) != 1 else c.lower() for c in text)


def _whole(lowered: str, secret: str) -> Iterator[Span]:
    if len(secret) > 8 * len(lowered):
        return
    for form in _forms(secret):
        at = lowered.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = lowered.find(form, at + 1)


def _forms(secret: str) -> set[str]:
    """A secret as it is, escaped (as in a `repr`, JSON or HTML), URL-encoded, in hex, and in Base64 or Base32; all in
    lower case.
    """
    forms = {secret, secret.strip()}
    if not _PLAIN.fullmatch(secret):
        forms |= {repr(secret)[1:-1], json.dumps(secret)[1:-1]}
    if len(secret) <= _LONGEST_ENCODED:
        data = secret.encode("utf-8", "surrogatepass")
        forms |= {
            quote(data),
            quote(data, safe=""),
            quote_plus(data),
            html.escape(secret),
            html.escape(secret, quote=False),
        }
        if len(data) >= 6:
            forms |= {data.hex(), data.hex(":"), base64.b32encode(data).decode().rstrip("="), *_base64(data)}
    return {_lowered(form) for form in forms if len(form) >= SHORTEST}


def _base64(data: bytes) -> Iterator[str]:
    """What Base64 (RFC 4648) makes of the bytes wherever they stand in what is encoded, as in `Basic user:password`."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        inner = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


def _words(lowered: str, secret: str, words: set[str]) -> Iterator[Span]:
    """Words of the text with a digit or an `@` in them that are words, or parts, of the secret."""
    if not words:
        return
    if len(secret) <= LARGE:
        inside = _lowered(secret)
        found = {word for word in words if word in inside}
    else:
        found = {word for part in _WORD.finditer(secret) if (word := _lowered(part.group().rstrip(".!?"))) in words}
    for word in found:
        at = lowered.find(word)
        while at >= 0:
            yield at, at + len(word)
            at = lowered.find(word, at + 1)


def _excerpts(lowered: str, secret: str, blocks: set[str]) -> Iterator[Span]:
    """Pieces of at least `EXCERPT` characters that the text shares with the secret, extended as far as they agree."""
    looks = 0
    for start in range(0, len(secret) - _BLOCK + 1, _STRIDE):
        block = secret[start : start + _BLOCK]
        if block not in blocks and (block := _lowered(block)) not in blocks:
            continue
        at = lowered.find(block)
        while at >= 0:
            looks += 1
            left, right = _extended(lowered, at, secret, start) if looks <= _LOOKS else (at, at + _BLOCK)
            if right - left >= EXCERPT or looks > _LOOKS:
                yield left, right
            at = lowered.find(block, at + 1)


def _extended(lowered: str, at: int, secret: str, start: int) -> Span:
    left, right, first, last = at, at + _BLOCK, start, start + _BLOCK
    while left > 0 and first > 0 and lowered[left - 1] == secret[first - 1].lower():
        left, first = left - 1, first - 1
    while right < len(lowered) and last < len(secret) and lowered[right] == secret[last].lower():
        right, last = right + 1, last + 1
    return left, right


__all__ = ["LARGE", "find_secrets", "secret_strings"]
