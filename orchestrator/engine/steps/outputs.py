"""Checks the output of a call: its shape, the types of its keys, and `ensure`."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from orchestrator.core.calls.user_code import UserFunctionError, truth_of
from orchestrator.core.enums import Effect
from orchestrator.core.errors import InvalidOutput, ToolError
from orchestrator.core.outcome import Outcome
from orchestrator.core.types.schema import validate
from orchestrator.core.values.copies import own_copy
from orchestrator.engine.interruption import call_function
from orchestrator.engine.run import Run
from orchestrator.graph.tool import Tool


async def validated_outputs(run: Run, tool: Tool, raw: Any) -> dict[str, Any]:
    """The outputs by key, validated by their types and by `ensure`. Raises `InvalidOutput` or `UserFunctionError`."""
    if len(tool.gives) == 1:
        outputs = dict.fromkeys(tool.gives, raw)
    elif isinstance(raw, Mapping) and set(tool.gives) <= set(cast("Mapping[str, Any]", raw)):
        outputs = {key: cast("Mapping[str, Any]", raw)[key] for key in tool.gives}
    else:
        raise InvalidOutput(f"it gives {', '.join(tool.gives)}: its call must return a mapping with these keys")
    try:
        for key, value in outputs.items():
            outputs[key] = validate(key, run.view.given_type(tool.name, key), value)
    except InvalidOutput as error:
        if not isinstance(raw, Outcome):
            raise
        raise InvalidOutput(f"{error}. It returned the Outcome of a run: return outcome.value") from None
    if tool.ensure is not None:
        output = outputs[next(iter(tool.gives))] if len(tool.gives) == 1 else outputs
        await ensured(run, tool.ensure, output if tool.share else own_copy(output), _seconds_left(run, tool))
    return outputs


def _seconds_left(run: Run, tool: Tool) -> float:
    """How long `ensure` may take: as a call of the tool."""
    own, left = tool.timeout or run.runtime.policy.timeout, run.account.seconds_left()
    if left is None:
        return own
    patience = run.runtime.policy.patience if tool.effect is not Effect.READ else 0.0
    return min(own, max(0.0, left) + patience)


async def ensured(run: Run, ensure: Callable[..., Any], output: Any, seconds: float) -> None:
    """Raises `InvalidOutput` when `ensure` rejects the output, by a false value or a failed `assert`.

    `None` passes. Any other exception becomes a `UserFunctionError`, except a `ToolError`, which is raised as it is.
    """
    try:
        verdict = await call_function(run, ensure, (output,), seconds=seconds, stops=False)
        passes = verdict is None or truth_of(verdict)
    except ToolError:
        raise
    except AssertionError as error:
        raise InvalidOutput(f"ensure rejected the output: {error}") from error
    except Exception as error:
        raise UserFunctionError("ensure", error) from error
    if not passes:
        raise InvalidOutput("ensure rejected the output")
