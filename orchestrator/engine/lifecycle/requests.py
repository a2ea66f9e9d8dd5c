"""Checks of what a caller asks for, before a run begins: the goal's keys, and inputs as the types of their keys."""

import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

from orchestrator.core.conventions import SCOPE
from orchestrator.core.errors import InputError, InvalidOutput, nearest
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import UnknownGoal
from orchestrator.core.route import Impasse
from orchestrator.engine.planning.agents import all_keys
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.values import checked_inputs

LOG: Final = logging.getLogger(SCOPE)


def check_goal(goal: Goal[Any], known: Collection[str], given: Collection[str] = ()) -> None:
    """Raises `UnknownGoal` for a key that nothing gives or needs and nobody provides, with the nearest names."""
    for key in (*goal.keys, *(key for lesser in goal.demotions for key in lesser.keys)):
        if key not in known and key not in given:
            reason = f"No tool gives or needs {key!r}.{_names({*known, *given}, key)}"
            raise UnknownGoal(Impasse(goal.keys, (key,), (), reason=reason, kind="unknown_goal"))


def check_inputs(runtime: Runtime, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as the types of their keys. Raises `InputError`."""
    try:
        return checked_inputs(inputs, runtime.graph.view())
    except InvalidOutput as error:
        raise InputError(f"Input {error}") from None


def warn_of_unused(runtime: Runtime, goal: Goal[Any], inputs: Mapping[str, Any]) -> None:
    """Log each input that nothing takes, with the nearest names: it may be one misspelt. It is at hand all the same.

    Where demands are functions of the values at hand, only they know what they read, and nothing is said.
    """
    keys = runtime.graph.view().keys
    unknown = [key for key in inputs if key not in keys]
    if not unknown or runtime.demands.reads_anything:
        return
    known = {*keys, *all_keys(goal), *goal.providable}
    for key in sorted(key for key in unknown if key not in known):
        LOG.warning("Nothing takes the input %r.%s", key, _names(known, key))


def _names(known: Collection[str], name: str) -> str:
    """The keys there are, those nearest to `name` first."""
    return f"{nearest(name, known)} Known keys: {', '.join(sorted(known)[:12]) or 'none'}."


__all__ = ["check_goal", "check_inputs", "warn_of_unused"]
