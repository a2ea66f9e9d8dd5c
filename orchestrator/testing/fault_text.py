"""Faults as they are written on the command line: `--fault pypdf=outage --fault ocr=fail:2`."""

from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.core.calls.options import checked
from orchestrator.core.errors import InputError, nearest
from orchestrator.graph.tool import Tool

from . import faults

Break = Callable[[Tool], Tool]


@checked(InputError)
def parse_fault(text: str) -> tuple[str, Break]:
    """(tool, how to break it) from `tool=fault` or `tool=fault:argument`. Raises `InputError` for nonsense."""
    name, equals, fault = text.partition("=")
    kind, _, argument = fault.partition(":")
    name, kind = name.strip(), kind.strip().replace("-", "_")
    if not equals or not name or not kind:
        raise InputError(f"A fault is written tool=fault, such as pypdf=outage or pypdf=fail:2; it was {text!r}.")
    if kind not in _READERS:
        known = ", ".join(_USAGE[word] for word in sorted(_USAGE))
        raise InputError(f"There is no fault {kind!r}.{nearest(kind, _READERS)} Known: {known}.")
    try:
        return name, _READERS[kind](argument.strip())
    except ValueError:
        raise InputError(f"The fault {kind!r} is written {_USAGE[kind]}; it was {fault!r}.") from None


def _times(argument: str) -> int | None:
    if not argument:
        return None
    times = int(argument)
    if times < 1:
        raise ValueError(argument)
    return times


def _seconds(argument: str) -> float:
    seconds = float(argument or 1)
    if not 0 <= seconds < float("inf"):
        raise ValueError(argument)
    return seconds


def _turns(argument: str) -> str:
    """`2/3`: of every three calls the first two fail."""
    broken, _, all_ = (argument or "1/2").partition("/")
    fails, length = int(broken), int(all_)
    if not 0 < fails <= length <= 1000:
        raise ValueError(argument)
    return "1" * fails + "0" * (length - fails)


def _nothing(argument: str) -> None:
    if argument:
        raise ValueError(argument)


def _outage(argument: str) -> Break:
    _nothing(argument)
    return faults.fail()


_READERS: Final[Mapping[str, Callable[[str], Break]]] = {
    "outage": _outage,
    "fail": lambda argument: faults.fail(times=_times(argument)),
    "hang": lambda argument: faults.hang(times=_times(argument)),
    "slow": lambda argument: faults.slow(seconds=_seconds(argument)),
    "corrupt": lambda argument: faults.corrupt(times=_times(argument)),
    "refuse": lambda argument: faults.refuse(times=_times(argument)),
    "flap": lambda argument: faults.flap(pattern=_turns(argument)),
    "rate_limit": lambda argument: faults.rate_limit(times=_times(argument)),
    "lose_answer": lambda argument: faults.lose_answer(times=_times(argument)),
}
_USAGE: Final[Mapping[str, str]] = {
    "outage": "outage",
    "fail": "fail[:times]",
    "hang": "hang[:times]",
    "slow": "slow[:seconds]",
    "corrupt": "corrupt[:times]",
    "refuse": "refuse[:times]",
    "flap": "flap[:failing/turns]",
    "rate_limit": "rate_limit[:times]",
    "lose_answer": "lose_answer[:times]",
}
