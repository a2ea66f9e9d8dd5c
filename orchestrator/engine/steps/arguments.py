"""What a call is given: values that fit its annotations, and that are its own."""

from collections.abc import Mapping
from typing import Any

from orchestrator.core.assignable import is_checked_at_call
from orchestrator.core.errors import CallerError, InvalidOutput
from orchestrator.core.schema import type_name, validate
from orchestrator.core.source import at
from orchestrator.engine.run import Run
from orchestrator.graph.tool import Tool


def arguments(run: Run, tool: Tool, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter -> value for one attempt. Raises `CallerError` for a value that the parameter does not take."""
    return {name: _fitting(run, tool, name, value) for name, value in inputs.items()}


def _fitting(run: Run, tool: Tool, name: str, value: Any) -> Any:
    key = {**tool.needs, **tool.optional}.get(name, name)
    giver = run.state.at_hand.get(key) or ""
    given = run.view.given_type(giver, key)
    taken = tool.parameter_types.get(name, Any)
    if not is_checked_at_call(given, taken):
        return value
    try:
        return validate(key, taken, value)
    except InvalidOutput as error:
        source = f"{giver!r} gives {type_name(given)}" if giver else f"it was provided as {type_name(given)}"
        raise CallerError(f"{error}; {source}, {tool.name!r} takes {type_name(taken)}{at(tool.place)}") from None
