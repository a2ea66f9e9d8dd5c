"""The options of `Agent`, and the protocol of what makes an agent out of a model, a graph or a person."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from orchestrator.graph.tool_options import ToolOptions


class AgentOptions(ToolOptions, total=False):
    """The options of `Agent`: those of `Tool`, and these."""

    skills: str | Iterable[str] | Mapping[str, float]
    """Declared competence per skill in [0, 1]; a skill named without a number is declared at 1."""
    instructions: str
    """For a chat model: its system prompt."""
    tools: Iterable[Any]
    """For a chat model: what it may call. Functions, LangChain tools, and goals: names, `Tool`s, `GoalTool`s."""
    trust: str
    """The trust domain that the agent works in, for constraints. Default: `"local"`."""
    data_leaves: bool
    """Whether the inputs leave this machine. Default: what is known of the callable; a remote model's do."""
    judge: Any
    """Who judges its work when a run has ended: `judge(inputs, output)` or a `ModelJudge`; `False`: nobody. Default:
    the orchestrator's judge."""
    feedback: str | None
    """The parameter that receives why the last answer was rejected. Default: one named `feedback` that is `None` by
    default; `None` says that there is no such parameter."""


@runtime_checkable
class AgentAdapter(Protocol):
    """The adapter that makes an agent of it: a chat model, a graph, a consensus, a person."""

    def as_agent(self, options: AgentOptions) -> tuple[Callable[..., Any], AgentOptions]:
        """The callable, and the options where `options`, which the user wrote, leave something open; checks them."""
        ...
