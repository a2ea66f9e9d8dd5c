"""Pieces of a text that look like values: quotations, addresses, files, dates, numbers."""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final


class MentionKind(StrEnum):
    """What a piece of text looks like."""

    QUOTED = "quoted"
    EMAIL = "email"
    URL = "url"
    PATH = "path"
    DATE = "date"
    NUMBER = "number"
    WORD = "word"
    """A bare word: a value only where the name of its key stands before it."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A piece of text that may be a value."""

    kind: MentionKind
    value: str
    start: int
    end: int
    """Where it stands in the text, quotation marks included."""


_MONTH_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH: Final = rf"(?P<month>{'|'.join(_MONTH_NAMES)})[a-z]*\.?"
_DAY: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR: Final = r"(?P<year>\d{4})\b"
_QUOTED: Final = (
    r"\"([^\"\n]+)\"|“([^”\n]+)”|„([^“”\n]+)[“”]|«([^»\n]+)»|「([^」\n]+)」|`([^`\n]+)`|(?<!\w)'([^'\n]+)'(?!\w)"
)
_PATTERNS: Final[tuple[tuple[MentionKind, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (MentionKind.QUOTED, _QUOTED),
        (MentionKind.EMAIL, r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
        (MentionKind.URL, r"https?://[^\s<>\"']*[^\s<>\"'.,;:!?)\]]"),
        (MentionKind.DATE, r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?)?\b"),
        (MentionKind.DATE, rf"\b{_DAY}(?: of)? {_MONTH},? {_YEAR}"),
        (MentionKind.DATE, rf"\b{_MONTH} {_DAY},? {_YEAR}"),
        (MentionKind.DATE, rf"\b(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.{_YEAR}"),
        (MentionKind.PATH, r"(?<![\w@])(?:~|\.{1,2})?(?:/[\w.@+-]*\w)+/?|\b[a-z]:\\[^\s\"]+"),
        (MentionKind.PATH, r"(?<![\w@.])[\w+-]+(?:[./][\w+-]+)*\.(?!(?:com|org|net|io)\b)[a-z]\w{1,4}\b"),
        (MentionKind.NUMBER, r"(?<![\w.+\-/])(?<!\d,)[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w*\d|,\d|\.\d)"),
    )
)


def mentions(text: str) -> list[Mention]:
    """The pieces of a text that look like values, in its order; none overlaps another."""
    taken: list[Mention] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if any(match.start() < other.end and other.start < match.end() for other in taken):
                continue
            value = _value(kind, match)
            if value is not None:
                looks = _looks_like(value) if kind is MentionKind.QUOTED else kind
                taken.append(Mention(looks, value, match.start(), match.end()))
    return sorted(taken, key=lambda mention: mention.start)


def _looks_like(quoted: str) -> MentionKind:
    """What stands between quotation marks: an address, a file or a date are these; anything else is text."""
    for kind, pattern in _PATTERNS[1:]:
        if kind is not MentionKind.NUMBER and pattern.fullmatch(quoted):
            return kind
    return MentionKind.QUOTED


def _value(kind: MentionKind, match: re.Match[str]) -> str | None:
    if kind is MentionKind.QUOTED:
        return next(group for group in match.groups() if group is not None)
    if kind is MentionKind.NUMBER:
        return match.group().replace(",", "").lstrip("+")
    if kind is MentionKind.DATE and "year" in match.re.groupindex:
        month = match["month"].lower()
        number = int(month) if month.isdigit() else _MONTH_NAMES.index(month) + 1
        try:
            return date(int(match["year"]), number, int(match["day"])).isoformat()
        except ValueError:
            return None
    return match.group()
