"""The message to a model whose tool call could not be answered."""

from typing import Any

from orchestrator.core.enums import FailureKind
from orchestrator.core.outcome import Outcome


def statement(name: str, outcome: Outcome[Any], line: str) -> str:
    """What was tried for a call and why nothing answered, in a few sentences for a model.

    `line` is what would have made an ambiguous failure one that heals, if the tool only reads.
    """
    last: dict[str, tuple[str, str, int]] = {}
    for failure in outcome.failures:
        count = last.get(failure.tool, ("", "", 0))[2] + 1
        last[failure.tool] = (str(failure.kind).replace("_", " "), failure.message, count)
    tried = [
        f"{tool} ({kind}: {message}{f'; {count} attempts' if count > 1 else ''})"
        for tool, (kind, message, count) in last.items()
    ]
    parts = [f"{name} failed. Tried: {'; '.join(tried)}." if tried else f"{name} could not be called."]
    unsure = [f.tool for f in outcome.failures if f.kind is FailureKind.AMBIGUOUS]
    if unsure:
        parts.append(
            f"The call of {unsure[-1]} may have taken effect, so it was neither repeated nor replaced; check before "
            f"you call it again. If it only reads, {line} lets such failures be healed."
        )
    elif not tried and outcome.impasse is not None:
        parts.append(outcome.impasse.message)
    return " ".join(parts)


__all__ = ["statement"]
