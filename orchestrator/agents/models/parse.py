"""Parses a model's answer: the one JSON object that holds a choice, or an error that says what is wrong."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

MAX_ANSWER: Final = 40_000
"""Characters; a longer answer is not even parsed."""
_THINKING: Final = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]{1,4}")


class Unusable(Exception):
    """An unusable answer. The message has the reason, for the repair request and the record."""


class Malformed(Unusable):
    """The answer cannot be read."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A model's answer before it is read."""

    calls: tuple[Any, ...] = ()
    """Arguments of the calls of the answering tool: mappings, or the text that should have been one."""
    text: str = ""

    @property
    def shown(self) -> str:
        """The answer as text."""
        return self.text or (json.dumps(self.calls[0], default=str) if self.calls else "")


def unpacked(value: Any) -> Any:
    """What a text that is JSON stands for; anything else as it is. For models that can only give text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError, Malformed):
        return value


def parse(answer: RawAnswer) -> dict[str, Any]:
    """The one JSON object with a choice that an answer holds. Raises `Malformed`."""
    if answer.calls:
        found = [_called(call) for call in answer.calls]
    elif not answer.text.strip():
        raise Malformed("it was empty")
    else:
        found = [_one_object(answer.text)]
    if any(other != found[0] for other in found[1:]):
        raise Malformed("it made several different choices")
    return found[0]


def _called(arguments: Any) -> dict[str, Any]:
    if not isinstance(arguments, dict):
        return _one_object(str(arguments))
    try:
        size = len(json.dumps(arguments, default=str))
    except (ValueError, RecursionError):
        raise Malformed("its arguments are no plain data") from None
    if size > MAX_ANSWER:
        raise Malformed(f"it was longer than {MAX_ANSWER} characters")
    return arguments  # pyright: ignore[reportUnknownVariableType]


def _one_object(text: str) -> dict[str, Any]:
    """The one JSON object with a choice that a text holds, whatever is written around it."""
    if len(text) > MAX_ANSWER:
        raise Malformed(f"it was longer than {MAX_ANSWER} characters")
    found: list[dict[str, Any]] = []
    decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant)
    rest = _THINKING.sub(" ", text)
    place = rest.find("{")
    tries = 0
    while place >= 0 and tries < 50:
        tries += 1
        try:
            value, end = decoder.raw_decode(rest, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if isinstance(value, dict) and "choice" in value:
                found.append(value)  # pyright: ignore[reportUnknownArgumentType]
        place = rest.find("{", end)
    if not found:
        raise Malformed("it held no JSON object with a choice")
    if any(other != found[0] for other in found[1:]):
        raise Malformed("it made several different choices")
    return found[0]


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Malformed("it named the same field twice")
    return made


def _no_constant(name: str) -> Any:
    raise Malformed(f"{name} is no JSON")


def whole_number(choice: Any, least: int, most: int) -> int:
    """A choice in [least, most]. Raises `Malformed`."""
    if isinstance(choice, str) and _NUMBER.fullmatch(choice.strip()):
        choice = int(choice)
    if isinstance(choice, bool) or not isinstance(choice, int):
        raise Malformed(f"choice is a whole number from {least} to {most}")
    if not least <= choice <= most:
        raise Malformed(f"there is no such option: choose from {least} to {most}")
    return choice
