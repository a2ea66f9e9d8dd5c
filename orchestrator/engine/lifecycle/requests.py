"""Checks a request before a run starts: the goal's keys, and the inputs by the types of their keys."""

import logging
import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from orchestrator.core.conventions import SCOPE
from orchestrator.core.errors import InputError, InvalidOutput, nearest
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import UnknownGoal
from orchestrator.core.privacy.redaction import raised_at
from orchestrator.core.route import Impasse
from orchestrator.core.types.assignable import Fit, fit
from orchestrator.core.types.schema import type_name, validate
from orchestrator.engine.options import SubmitOptions
from orchestrator.engine.runtime import Runtime
from orchestrator.graph.revision import GraphRevision

LOG: Final = logging.getLogger(SCOPE)
_PRIORITIES: Final = 2**31
"""Range of priorities: PostgreSQL stores 32 bits."""


def check_goal(goal: Goal[Any], known: Collection[str], given: Collection[str] = ()) -> None:
    """Raises `UnknownGoal`, with the nearest names, for a key that no tool gives or needs and that is no input."""
    lesser = [key for each in goal.demotions for key in each.keys] if goal.demotions else []
    for key in (*goal.keys, *lesser):
        if key not in known and key not in given:
            reason = f"No tool gives or needs {key!r}.{_names({*known, *given}, key)}"
            raise UnknownGoal(Impasse(goal.keys, (key,), (), reason=reason, kind="unknown_goal"))
    for key in goal.providable:
        if key not in known and key not in given:
            raise InputError(f"Nothing needs the providable key {key!r}.{_names({*known, *given}, key)}")


def check_inputs(view: GraphRevision, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs, validated by the types of their keys. Raises `InputError`."""
    checked: dict[str, Any] = {}
    for key, value in inputs.items():
        kind = view.key_type(key)
        if kind is Any:
            checked[key] = value
            continue
        try:
            checked[key] = validate(key, kind, value)
        except InvalidOutput as error:
            raise InputError(f"Input {error}") from None
        except Exception as error:
            raised = f"{key}: a validator raised {type(error).__name__} ({raised_at(error)})"
            raise InputError(f"Input {raised}") from error
    return checked


def check_request(runtime: Runtime, view: GraphRevision, goal: Goal[Any], inputs: Mapping[str, Any]) -> None:
    """Both checks, of a goal and of its inputs by their names: `check_goal` and `refuse_unknown`."""
    typed = goal.value_type is not None
    if typed or runtime.demands.sources or view.unknown((*goal.every_key, *goal.providable, *inputs)):
        check_goal(goal, view.keys, inputs)
        refuse_unknown(runtime, goal, inputs)


def check_when(options: SubmitOptions) -> None:
    """Raises `InputError` for an impossible time or a priority out of range."""
    delay, at, priority = options.get("delay", 0.0), options.get("at"), options.get("priority", 0)
    if not (math.isfinite(delay) and delay >= 0.0):
        raise InputError(f"delay is a number of seconds, 0 or more, not {delay}.")
    if at is not None and not math.isfinite(at):
        raise InputError(f"at is a time in seconds since the epoch, not {at}.")
    if abs(priority) >= _PRIORITIES:
        raise InputError(f"priority is a number between {1 - _PRIORITIES} and {_PRIORITIES - 1}.")


def refuse_unknown(runtime: Runtime, goal: Goal[Any], inputs: Mapping[str, Any], *, named_only: bool = False) -> None:
    """Raises `InputError`, with the nearest name, for an input that no tool takes and for an unknown skill that is
    demanded on the way to the goal. `named_only`: only the names of the inputs are known, not their values.
    """
    view = runtime.graph.view()
    _check_type(goal, view)
    runtime.demands.check_declared(view, goal.keys, {} if named_only else inputs)
    if not view.unknown(inputs):
        return
    taken = known_inputs(runtime, goal, inputs)
    for key in sorted(key for key in inputs if key not in taken):
        raise InputError(f"Nothing takes the input {key!r}.{_names(_known_keys(runtime, goal), key)}")


def _check_type(goal: Goal[Any], view: GraphRevision) -> None:
    """Raises `InputError` for a `type=` that no value of the key can have."""
    if goal.value_type is None or len(goal.keys) > 1:
        return
    key, of_key = goal.name, view.key_type(goal.name)
    if fit(of_key, goal.value_type) is Fit.NO:
        wanted, own = type_name(goal.value_type), type_name(of_key)
        raise InputError(
            f"Goal({key!r}, type={wanted}): {key!r} is of the type {own}. Write type={own}, or leave it out."
        )


def known_inputs(runtime: Runtime, goal: Goal[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that are keys of the graph or of the goal; all inputs when a demand is a function, which may read
    any.
    """
    if runtime.demands.reads_anything:
        return dict(inputs)
    keys, wanted = runtime.graph.view().keys, {*goal.every_key, *goal.providable}
    return {key: value for key, value in inputs.items() if key in keys or key in wanted}


def _known_keys(runtime: Runtime, goal: Goal[Any]) -> set[str]:
    return {*runtime.graph.view().keys, *goal.every_key, *goal.providable}


def _names(known: Collection[str], name: str) -> str:
    """A sentence with the known keys, those nearest to `name` first."""
    if not known:
        return " There are no tools at all."
    return f"{nearest(name, known)} Known keys: {', '.join(sorted(known)[:12])}."


__all__ = ["check_goal", "check_inputs", "check_request", "check_when", "known_inputs", "refuse_unknown"]
