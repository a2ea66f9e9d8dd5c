"""The form of an answer that fits the type of a key: as it is, its one field, its text, or what its JSON says."""

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from orchestrator.core.types.schema import adapter


def fitted(value: Any, annotation: Any) -> Any:
    """A value in the form that fits a type: the value, or what it says as JSON where only that fits."""
    return first_fitting([value, *_parsed(value)], annotation)


def first_fitting(candidates: Iterable[Any], annotation: Any) -> Any:
    """The first candidate that is of the type as it stands, else the first that validation accepts, else the first."""
    listed = list(candidates)
    if annotation is Any:
        return listed[0]
    for strict in (True, False):
        for one in listed:
            try:
                adapter(annotation).validate_python(one, strict=strict)
            except (ValidationError, ValueError):
                continue
            return one
    return listed[0]


def _parsed(value: Any) -> list[Any]:
    if not isinstance(value, str):
        return []
    try:
        return [json.loads(value)]
    except (ValueError, RecursionError):
        return []


__all__ = ["first_fitting", "fitted"]
