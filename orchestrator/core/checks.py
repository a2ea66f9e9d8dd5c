"""Checks that many modules share: of numbers that users write, and of outputs, for `ensure=`."""

import math
from typing import Any

from .errors import DefinitionError, InvalidOutput


def has_words(text: str) -> None:
    """Raises `InvalidOutput` for a text without a word in it: what a scanned page yields to a reader of text."""
    if not any(character.isalnum() for character in text):
        raise InvalidOutput("there are no words in it")


def not_empty(value: Any) -> None:
    """Raises `InvalidOutput` for an empty list, mapping or text."""
    if not value:
        raise InvalidOutput("it is empty")


def check_number(label: str, value: Any, top: float = math.inf) -> float:
    """`value` as a float in [0, top]. Raises `DefinitionError` for anything else, NaN included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or not 0 <= value <= top:
        limit = "" if top == math.inf else f" of at most {top:g}"
        raise DefinitionError(f"{label} is a number{limit}, not below zero; it was {value!r}.")
    return float(value)
