"""The numbered list of admissible resolutions: what a model or a person chooses from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from orchestrator.core.route import Impasse
from orchestrator.core.text import clean

from .admissibility import ANSWER, MAX_SECONDS, is_person, keys_to_provide, longest_wait, open_kinds, tools_to_allow
from .resolution import Resolution, ResolutionKind


class Hole(StrEnum):
    """The value that must be supplied with a chosen option."""

    NONE = "none"
    VALUE = "value"
    """A value of the key's type."""
    SECONDS = "seconds"
    """A positive number of seconds."""
    AMOUNT = "amount"
    """A positive number to add to a limit of the budget."""


@dataclass(frozen=True, slots=True)
class Option:
    """One admissible resolution, complete but for its hole."""

    resolution: Resolution
    text: str
    """What it does, for people and models."""
    hole: Hole = Hole.NONE
    unit: str = ""
    """For an amount: `usd`, `seconds` or `calls`."""

    @property
    def kind(self) -> ResolutionKind:
        """What it does."""
        return self.resolution.kind

    def fill(self, value: Any, message: str = "") -> Resolution:
        """The resolution with its hole filled. A value for an option that has no hole is ignored."""
        made = replace(self.resolution, message=message)
        match self.hole:
            case Hole.NONE:
                return made
            case Hole.VALUE:
                return replace(made, value=value)
            case Hole.SECONDS:
                return replace(made, seconds=value)
            case Hole.AMOUNT:
                return replace(made, **{self.unit: value})


def options_for(impasse: Impasse, rights: frozenset[ResolutionKind], max_wait: float = math.inf) -> tuple[Option, ...]:
    """Every resolution that is admissible with these rights, in a fixed order; giving up is the last.

    `max_wait`, in seconds, is a limit on waits, beside that of the run.
    """
    open_to = open_kinds(impasse, rights)
    return tuple(option for option in _all(impasse, rights, max_wait) if option.kind in open_to)


def _all(impasse: Impasse, rights: frozenset[ResolutionKind], max_wait: float) -> Iterator[Option]:
    for offer in impasse.offers:
        if offer.price is not None:
            name = clean(" + ".join(offer.goal), 120)
            yield Option(Resolution.demote(offer.goal), f"take the lesser goal {name} (price {offer.price:.6g} USD)")
    yield from _approvals(impasse)
    for key in keys_to_provide(impasse, rights):
        text = (
            "give the answer"
            if key == ANSWER and impasse.kind == "question"
            else f"provide a value for {clean(key, 80)}"
        )
        yield Option(Resolution.provide(key, None), text, Hole.VALUE)
    longest = min(max_wait, longest_wait(impasse))
    limit = f" (at most {longest:g} seconds)" if longest < MAX_SECONDS else ""
    if longest > 0:
        for blame in impasse.blame:
            text = f"wait for {clean(blame.tool, 80)}, then try again{limit}"
            yield Option(Resolution.wait(blame.tool, 0), text, Hole.SECONDS)
    if is_person(rights):
        for limit in ("usd", "seconds", "calls"):
            if limit in impasse.budget_left:
                unit = {"usd": "US dollars"}.get(limit, limit)
                yield Option(Resolution.raise_budget(), f"raise the budget by some {unit}", Hole.AMOUNT, limit)
    declining = impasse.kind == "approval"
    yield Option(
        Resolution.stop(), "decline: look for another way" if declining else "undo what can be undone, and stop"
    )


def _approvals(impasse: Impasse) -> Iterator[Option]:
    if impasse.subject is not None:
        yield Option(Resolution.approve(impasse.subject), f"approve {clean(impasse.subject, 80)}")
    if impasse.kind == "approval":
        return  # allowing it is the same as approving it
    for tool in tools_to_allow(impasse):
        name = clean(tool, 80)
        uncertain = impasse.kind == "ambiguous"
        text = f"{name} did not happen: try it again" if uncertain else f"use {name} although it is not allowed now"
        yield Option(Resolution.allow(tool), text)
