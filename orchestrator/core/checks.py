"""Checks of outputs that many tools share, for `ensure=`."""

from typing import Any


def has_words(text: str) -> None:
    """Raises `ValueError` for a text without a word in it: what a scanned page yields to a reader of text."""
    if not any(character.isalnum() for character in text):
        raise ValueError("there are no words in it")


def not_empty(value: Any) -> None:
    """Raises `ValueError` for an empty list, mapping or text."""
    if not value:
        raise ValueError("it is empty")
