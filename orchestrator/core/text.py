"""Text for people: sanitises foreign text, formats amounts and durations.

Names, errors, questions and values come from tools, models and documents: hostile input. A control character could move
the cursor, rewrite a line or change the colours, and a direction mark could make a line read backwards.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_CLEANING__ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
"""ANSI escape sequences (ECMA-48): CSI, OSC with its text, and the two-character ones."""


def clean(text: str, limit: int = 300) -> str:
    """`text` in one line of at most `limit` characters, without escape sequences, control or format characters.

    Format characters (Unicode category Cf) are invisible or turn the direction of writing: they hide what a text says.
    """
    kept = _CLEANING__ESCAPES.sub("", text[: 8 * limit])
    kept = "".join(" " if c in "\n\r\t\u2028\u2029" else c for c in kept if _shown(c))
    kept = " ".join(kept.split())
    if len(kept) <= limit and len(text) <= 8 * limit:
        return kept
    return kept[: limit - 1].rstrip() + "…"


def _shown(character: str) -> bool:
    return character in "\n\r\t\u2028\u2029" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")


_ESCAPES: Final = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system commands: window titles, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # device control strings
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # control sequences: colours, cursor
    r"|\x1b[ -/]*[0-~]?"  # everything else that an escape begins
)
_HIDDEN: Final = frozenset("\u00ad\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u2060\ufeff")
_DIRECTIONS: Final = range(0x202A, 0x202F), range(0x2066, 0x206A)


def plain(text: object, limit: int | None = None) -> str:
    """`text` as one harmless line: no control characters, no direction marks; cut to `limit` characters."""
    return shortened(" ".join(_clean(str(text), keep="").split()), limit)


def plain_lines(text: object) -> str:
    """`text` sanitised, with its line breaks and tabs."""
    return _clean(str(text).replace("\r\n", "\n"), keep="\n\t")


def shortened(text: str, limit: int | None) -> str:
    """At most `limit` characters, the last one an ellipsis when something was cut."""
    return text if limit is None or len(text) <= limit else text[: max(0, limit - 1)].rstrip() + "…"


def _clean(text: str, keep: str) -> str:
    text = _ESCAPES.sub("", text)
    return "".join(char if char in keep else _harmless(char) for char in text)


def _harmless(char: str) -> str:
    if char in "\n\r\t\v\f\u2028\u2029":
        return " "
    if char.isascii() and char.isprintable():
        return char
    if char in _HIDDEN or any(ord(char) in each for each in _DIRECTIONS):
        return ""
    category = unicodedata.category(char)
    return "" if category == "Cc" else "\ufffd" if category == "Cs" else char


def usd(amount: float | None) -> str:
    """US dollars with about three significant digits: `$0`, `$0.00133`, `$12.50`."""
    if amount is None:
        return "-"
    if not math.isfinite(amount):
        return "∞"
    if amount == 0:
        return "$0"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size < 1e-12:
        return f"{sign}$0"
    digits = max(2, 2 - math.floor(math.log10(size)))
    text = f"{size:.{digits}f}"
    whole, _, rest = text.partition(".")
    return f"{sign}${whole}.{rest[:2]}{rest[2:].rstrip('0')}"


def duration(seconds: float | None) -> str:
    """Seconds in readable form: `12 ms`, `0.42 s`, `3.1 s`, `2 min 5 s`, `3 h 10 min`."""
    if seconds is None:
        return "-"
    if 0 < seconds < 0.0005:
        return "<1 ms"
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def counted(number: int, word: str, plural: str | None = None) -> str:
    """`1 call`, `2 calls`, `0 calls`."""
    return f"{number} {word if number == 1 else plural or word + 's'}"


def listed(names: "tuple[str, ...] | list[str]", last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def abridged(names: Sequence[str], between: str = " → ", most: int = 7) -> str:
    """Names with a separator; of many the first, the number of omitted ones, and the last two."""
    if len(names) > most:
        names = [*names[: most - 3], f"{len(names) - most + 1} more", *names[-2:]]
    return between.join(names)
