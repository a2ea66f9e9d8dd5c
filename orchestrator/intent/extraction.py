"""Values that a text names, for keys of simple types. Values that the text does not contain are left out."""

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.types.schema import validate

from .mentions import Mention, MentionKind, mentions

_WORD: Final = re.compile(r"[^\s,;:!?()\[\]{}=]+")
_BETWEEN: Final = re.compile(r"(?P<mark>\s*[=:#]\s*)|\s+(?:(?:is|of|to|number|no\.?|id)\s+)?#?", re.IGNORECASE)
"""What may stand between the name of a key and its value."""
Kinds = tuple[frozenset[MentionKind], ...]
"""Kinds of pieces, the likeliest first: a later group counts only where no piece is of an earlier one."""
_FILE: Final[Kinds] = (frozenset({MentionKind.PATH, MentionKind.URL}), frozenset({MentionKind.QUOTED}))
_TEXT: Final[Kinds] = (
    frozenset({MentionKind.QUOTED}),
    frozenset({MentionKind.PATH, MentionKind.URL, MentionKind.EMAIL}),
)
_HINTS: Final[tuple[tuple[frozenset[str], Kinds], ...]] = (
    (frozenset({"email", "mail"}), (frozenset({MentionKind.EMAIL}),)),
    (frozenset({"url", "link", "website"}), (frozenset({MentionKind.URL}),)),
    (frozenset({"path", "file", "folder", "directory", "document", "image", "pdf"}), _FILE),
    (frozenset({"date", "day", "deadline", "birthday"}), (frozenset({MentionKind.DATE}),)),
)
"""What the name of a key of text says about its values."""


def extract(text: str, types_of_keys: Mapping[str, Any]) -> dict[str, Any]:
    """Values for the keys, as their types.

    First what stands right after the name of a key (`order 4711`, `cost_center=12`), and the one of a key's few
    possible values that the text names; then, where a single piece of the right kind is left for a single key, these
    two. Keys whose type or name says what they take come before keys that take any text.
    """
    pieces = mentions(text)
    found: dict[str, Any] = {}
    used: set[int] = set()
    for key, annotation in types_of_keys.items():
        for place, piece in (*_after_name(text, key, pieces), *_listed(text, annotation)):
            value = _as_type(key, annotation, piece)
            if value is not None and place not in used:
                found[key] = value
                used |= {place} - {-1}
                break
    for wanted in (True, False):
        left = {k: a for k, a in types_of_keys.items() if k not in found and (_kinds(k, a) != _TEXT) is wanted}
        for key, value, place in _only_ones(pieces, used, left):
            found[key] = value
            used.add(place)
    return {key: found[key] for key in types_of_keys if key in found}


def _after_name(text: str, key: str, pieces: Sequence[Mention]) -> Iterator[tuple[int, Mention]]:
    """The pieces that stand right after the name of the key, with their places; -1 for a bare word."""
    for end in _ends_of_name(text, key):
        gap = _BETWEEN.match(text, end)
        if gap is None:
            continue
        for place, piece in enumerate(pieces):
            if piece.start == gap.end():
                yield place, piece
        word = _WORD.match(text, gap.end())
        if word is None or any(piece.start < word.end() and word.start() < piece.end for piece in pieces):
            continue
        plain = word.group().rstrip(".")
        if gap["mark"] or any(character.isdigit() for character in plain):
            yield -1, Mention(MentionKind.WORD, plain, word.start(), word.end())


def _ends_of_name(text: str, key: str) -> Iterator[int]:
    """Where the name of the key ends in the text: all of it, or without a trailing `id` or `number`."""
    parts = [part for part in re.split(r"[_\-\s]+", key) if part]
    names = [parts, parts[:-1]] if len(parts) > 1 and parts[-1].lower() in ("id", "no", "number", "name") else [parts]
    for name in names:
        pattern = r"(?<![^\W_])" + r"[\s_-]+".join(re.escape(part) for part in name) + r"(?![^\W_])"
        yield from (match.end() for match in re.finditer(pattern, text, re.IGNORECASE))


def _listed(text: str, annotation: Any) -> Iterator[tuple[int, Mention]]:
    """The one value of an enum or a literal that the text names; nothing when it names several."""
    plain = _plain(annotation)
    values: list[Any] = []
    if get_origin(plain) is Literal:
        values = [value for value in get_args(plain) if isinstance(value, str)]
    elif isinstance(plain, type) and issubclass(plain, Enum):
        values = [member.value for member in plain if isinstance(member.value, str)]
    named = [
        Mention(MentionKind.WORD, value, match.start(), match.end())
        for value in values
        if (match := re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE))
    ]
    if len(named) == 1:
        yield -1, named[0]


def _only_ones(pieces: Sequence[Mention], used: set[int], left: Mapping[str, Any]) -> list[tuple[str, Any, int]]:
    """Keys and pieces of text that fit only each other."""
    free = [(place, piece) for place, piece in enumerate(pieces) if place not in used]
    fitting = {key: _fits(key, annotation, free) for key, annotation in left.items()}
    places = [place for fits in fitting.values() for place, _ in fits]
    return [
        (key, fits[0][1], fits[0][0])
        for key, fits in fitting.items()
        if len(fits) == 1 and places.count(fits[0][0]) == 1
    ]


def _fits(key: str, annotation: Any, free: Sequence[tuple[int, Mention]]) -> list[tuple[int, Any]]:
    for kinds in _kinds(key, annotation):
        fits = [
            (place, value)
            for place, piece in free
            if piece.kind in kinds and (value := _converted(key, annotation, piece)) is not None
        ]
        if fits:
            return fits
    return []


def _as_type(key: str, annotation: Any, piece: Mention) -> Any:
    """A piece that the name of the key introduces, as its value; `None` when it is none. A text key takes anything."""
    takes_any = _plain(annotation) in (Any, str) or piece.kind is MentionKind.WORD
    if not takes_any and not any(piece.kind in kinds for kinds in _kinds(key, annotation)):
        return None
    return _converted(key, annotation, piece)


def _converted(key: str, annotation: Any, piece: Mention) -> Any:
    try:
        return validate(key, annotation, piece.value)
    except (OrchestratorError, ValueError, TypeError):
        return None


def _kinds(key: str, annotation: Any) -> Kinds:
    """The kinds of pieces that may be a value of the key, wherever they stand."""
    plain = _plain(annotation)
    if plain is Any or plain is str:
        parts = set(re.split(r"[_\-\s]+", key.lower()))
        return next((kinds for hints, kinds in _HINTS if parts & hints), _TEXT)
    if not isinstance(plain, type) or issubclass(plain, bool | Enum):
        return ()
    if issubclass(plain, int | float | Decimal):
        return (frozenset({MentionKind.NUMBER}),)
    if issubclass(plain, date):
        return (frozenset({MentionKind.DATE}),)
    return (frozenset({MentionKind.PATH}), frozenset({MentionKind.QUOTED})) if issubclass(plain, PurePath) else ()


def _plain(annotation: Any) -> Any:
    """The type without `Annotated` and `None`."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [arg for arg in get_args(annotation) if arg is not type(None)]
        return _plain(rest[0]) if len(rest) == 1 else annotation
    return annotation
