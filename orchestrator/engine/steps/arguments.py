"""The arguments of a call: values validated by its annotations, and copied for the call."""

from collections.abc import Mapping
from typing import Any

from orchestrator.core.calls.source import at
from orchestrator.core.enums import Effect
from orchestrator.core.errors import CallerError, InvalidOutput
from orchestrator.core.types.schema import type_name, validate
from orchestrator.core.values.copies import IMMUTABLE, Memo, own_copy
from orchestrator.engine.run import Run
from orchestrator.graph.tool import Tool


def arguments(run: Run, tool: Tool, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter -> value for one attempt, each its own copy unless the tool shares values.

    Raises `CallerError` for a value that the parameter does not take.
    """
    memo: Memo = {}
    own = tool.share or tool.isolation == "process"  # a worker process has copies of its own
    made: dict[str, Any] = {}
    for name, value in inputs.items():
        key = tool.takes.get(name, name)
        if run.view.is_checked(run.state.at_hand.get(key) or "", key, tool, name):
            value = _fitting(run, tool, name, value)
        if not (own or type(value) in IMMUTABLE or _is_last_reader(run, tool, key)):
            value = own_copy(value, memo)
        made[name] = value
    return made


def _is_last_reader(run: Run, tool: Tool, key: str) -> bool:
    """Whether no other reader of a value follows this attempt: no tool, retry, goal or compensation."""
    if tool.effect is not Effect.READ or run.view.consumers(key) != (tool.name,):
        return False
    if not run.state.at_hand.get(key) or key in run.state.wanted.every_key:
        return False
    giver = run.view.tools.get(run.state.at_hand[key] or "")
    retries = run.runtime.policy.retries.attempts if tool.retries is None else tool.retries
    return giver is not None and giver.effect is Effect.READ and run.state.attempts[tool.name] > retries


def _fitting(run: Run, tool: Tool, name: str, value: Any) -> Any:
    """A value validated by the annotation of its parameter. Raises `CallerError`."""
    key = tool.takes.get(name, name)
    giver = run.state.at_hand.get(key) or ""
    given = run.view.given_type(giver, key)
    taken = tool.parameter_types.get(name, Any)
    try:
        return validate(key, taken, value)
    except InvalidOutput as error:
        source = f"{giver!r} gives {type_name(given)}" if giver else f"it was provided as {type_name(given)}"
        raise CallerError(f"{error}; {source}, {tool.name!r} takes {type_name(taken)}{at(tool.place)}") from None
