"""Turns a parsed model answer into the option it chose."""

from collections.abc import Sequence
from typing import Any

from orchestrator.agents.models.parse import Malformed, RawAnswer, parse, whole_number
from orchestrator.core.text import clean

from .options import Hole, Option
from .resolution import Resolution


def read_choice(answer: RawAnswer, options: Sequence[Option], longest_wait: float) -> Resolution:
    """The option that was chosen, filled. Raises `Malformed`."""
    data = parse(answer)
    option = options[whole_number(data.get("choice"), 1, len(options)) - 1]
    message = data.get("message")
    value = data.get("value")
    if option.hole is Hole.VALUE and value is None:
        raise Malformed("that option needs a value")
    if option.hole in (Hole.SECONDS, Hole.AMOUNT):
        value = _seconds(value, longest_wait)
    return option.fill(value, clean(message, 500) if isinstance(message, str) else "")


def _seconds(value: Any, longest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= longest:
        raise Malformed(f"that option needs a number of seconds above 0 and of at most {longest:g}")
    return float(value)
