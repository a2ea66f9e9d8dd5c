"""Checks of user input: names of tools, keys, goals, runs and labels; numbers; outputs, for `ensure=`."""

import math
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from .errors import DefinitionError, InputError, InvalidOutput, OrchestratorError

MAX_NAME: Final = 200
LONGEST_LABEL: Final = 256
MOST_LABELS: Final = 32
_REFUSED: Final = {
    "Cc": "a control character",
    "Cs": "half of a surrogate pair",
    "Zl": "a line break",
    "Zp": "a line break",
    "Co": "a private character",
    "Cn": "an unassigned character",
}
_TAGS: Final = range(0xE0000, 0xE0080)
_INVISIBLE: Final = frozenset("\u00ad\u180e\u200b\u2060\u2061\u2062\u2063\u2064\ufeff")
"""Characters of no width; not those that join letters of some scripts (U+200C, U+200D)."""
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def problem_with(text: str, longest: int = MAX_NAME) -> str:
    """Why `text` cannot be a name; empty if it can.

    Rejected are characters that a database, terminal or model reads differently from what a person sees: control
    characters, line breaks, surrogates, tag characters, direction marks, what is not seen, blanks at the ends.
    """
    if not text:
        return "it is empty"
    if len(text) > longest:
        return f"it has more than {longest} characters"
    if text.isascii() and text.isprintable() and text[0] != " " != text[-1]:
        return ""
    if text != text.strip():
        return "it begins or ends with a blank"
    for character in text:
        if character.isascii() and character.isprintable():
            continue
        code = f"U+{ord(character):04X}"
        if ord(character) in _TAGS:
            return f"it holds a tag character ({code})"
        if character in _DIRECTIONS:
            return f"it holds a mark of writing direction ({code})"
        if character in _INVISIBLE:
            return f"it holds a character that is not seen ({code})"
        if what := _REFUSED.get(unicodedata.category(character)):
            return f"it holds {what} ({code})"
    return ""


def storable_text(text: str) -> bool:
    """Whether every database accepts the text: no lone surrogate, no NUL. Other texts are not valid ids."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def check_name(what: str, text: object, error: type[OrchestratorError] = InputError, longest: int = MAX_NAME) -> str:
    """`text` as the name of `what` ("a run", "a tool"). Raises `error` saying what is wrong with it."""
    if not isinstance(text, str):
        raise error(f"The name of {what} is a text; it was {text!r}.")
    if problem := problem_with(text, longest):
        raise error(f"{text[:60]!r} cannot be the name of {what}: {problem}.")
    return text


def check_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Labels as small strings by name, sorted. Raises `InputError`."""
    found = dict(labels or {})
    if len(found) > MOST_LABELS:
        raise InputError(f"A run has at most {MOST_LABELS} labels; there were {len(found)}.")
    for name, value in found.items():
        check_name("a label", name)
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"The label {name!r} has a text as its value; it was {value!r}.")
        if value and (problem := problem_with(value, LONGEST_LABEL)):
            raise InputError(f"The label {name!r} cannot be {value[:60]!r}: {problem}.")
    return dict(sorted(found.items()))


def has_words(text: str) -> None:
    """Raises `InvalidOutput` for a text without a word in it: what a scanned page yields to a reader of text."""
    if not any(character.isalnum() for character in text):
        raise InvalidOutput("there are no words in it")


def not_empty(value: Any) -> None:
    """Raises `InvalidOutput` for an empty list, mapping or text."""
    if not value:
        raise InvalidOutput("it is empty")


def check_number(
    label: str, value: Any, top: float = math.inf, error: type[OrchestratorError] = DefinitionError
) -> float:
    """`value` as a float in [0, top]. Raises `error` for anything else, NaN included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or not 0 <= value <= top:
        limit = "" if top == math.inf else f" of at most {top:g}"
        raise error(f"{label} is a number{limit}, not below zero; it was {value!r}.")
    return float(value)
