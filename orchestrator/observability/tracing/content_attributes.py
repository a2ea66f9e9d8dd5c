"""Inputs and outputs on spans, for users who turned content capture on."""

from collections.abc import Mapping
from typing import Any, Protocol

from opentelemetry.trace import Span

from orchestrator.core import conventions as names
from orchestrator.core.events import CallEnded, CallStarted, Event, RunEnded, RunStarted

from .content import Capture
from .runtrace import RunTrace


class LiveRun(Protocol):
    """What content capture needs of a run."""

    @property
    def view(self) -> Any:
        """The revision of the graph that it plans on."""
        ...

    @property
    def values(self) -> Any:
        """Its values."""
        ...

    def inputs_of(self, tool: Any) -> dict[str, Any]:
        """The values at hand for a tool's parameters."""
        ...


def show(capture: Capture, run: LiveRun, traced: RunTrace, event: Event) -> None:
    """Set the inputs or outputs of an event on its span before that ends."""
    values: Mapping[str, Any] = run.values.values
    match event:
        case RunStarted():
            _put_input(traced.span, capture.text(_some(values, event.inputs)))
        case RunEnded():
            _put_output(traced.span, capture.text(_some(values, event.goal)))
        case CallStarted():
            span, tool = traced.of_step(event.tool), run.view.tools.get(event.tool)
            if span is not None and tool is not None:
                text = capture.text(run.inputs_of(tool))
                _put_input(span, text)
                span.set_attribute(names.TOOL_ARGUMENTS, text)
        case CallEnded(ok=True):
            span = traced.of_step(event.tool)
            if span is not None and run.values.has_output(event.tool):
                output = run.values.output(event.tool)  # a mapping for several keys, the value for one
                text = capture.text({event.gives[0]: output} if len(event.gives) == 1 else output)
                _put_output(span, text)
                span.set_attribute(names.TOOL_RESULT, text)
        case _:
            pass


def _some(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}


def _put_input(span: Span, text: str) -> None:
    span.set_attributes({names.INPUT_VALUE: text, names.INPUT_TYPE: names.JSON})


def _put_output(span: Span, text: str) -> None:
    span.set_attributes({names.OUTPUT_VALUE: text, names.OUTPUT_TYPE: names.JSON})
