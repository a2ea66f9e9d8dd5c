"""`Registration`: the methods of an `Orchestrator` that change its graph or return the current prices of its tools."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, overload

from typing_extensions import Unpack

from orchestrator.agents.agent import Agent
from orchestrator.core.calls.options import checked, signature_options
from orchestrator.core.errors import DefinitionError, nearest
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import PriceFacts
from orchestrator.graph.tool import Tool
from orchestrator.graph.tool import tool as make_tool
from orchestrator.graph.tool_options import ToolOptions
from orchestrator.health.failures.classify import FailureTable
from orchestrator.selection import Demand, DemandModel, Selector

from .planning.agents import facts_now, price_now
from .planning.demands import DemandSource
from .runtime import Runtime


class Registration:
    """A base class of `Orchestrator`: adds, removes and connects tools, and declares the demands of steps."""

    graph: ToolGraph
    selector: Selector
    _runtime: Runtime

    @checked()
    def add(self, item: Tool | Callable[..., Any], replace: bool = False) -> Tool:
        """Register a tool or an agent, and the agent's own tools; a plain callable becomes a tool.

        With `replace` it takes the place of a tool of its name, whose transitions it keeps.

        Raises `DefinitionError`.
        """
        made = item if isinstance(item, Tool) else Tool(item)
        for own in made.own_tools if isinstance(made, Agent) else ():
            if self.graph.get(own.name) is not own:  # tools that it calls as goals are routed and healed
                self.add(own, replace)
        if replace and made.name in self.graph:
            self._swap(made)
            return made
        added = self.graph.add(made)
        if isinstance(added, Agent):
            self.selector.add(added)
        return added

    def _swap(self, tool: Tool) -> Tool:
        """Replace the tool with the same name; returns the old one."""
        old = self.graph.replace(tool)
        if isinstance(old, Agent):
            self.selector.remove(old.name)
        if isinstance(tool, Agent):
            self.selector.add(tool)
        return old

    @checked()
    def remove(self, name: str | Tool) -> Tool:
        """Remove a tool or an agent; live runs plan without it. Raises `DefinitionError` for an unknown name."""
        removed = self.graph.remove(name)
        if removed.is_agent:
            self.selector.remove(removed.name)
        return removed

    @overload
    def tool(self, call: Callable[..., Any], /) -> Tool: ...
    @overload
    def tool(
        self, /, *, replace: bool = False, **options: Unpack[ToolOptions]
    ) -> Callable[[Callable[..., Any]], Tool]: ...
    def tool(
        self, call: Callable[..., Any] | None = None, /, *, replace: bool = False, **options: Unpack[ToolOptions]
    ) -> Tool | Callable[[Callable[..., Any]], Tool]:
        """Make a tool of a function and register it: `@orc.tool` or `@orc.tool(cost=0.01)`.

        `replace=True` allows a notebook cell to run again.
        """
        if call is not None:
            return self.add(Tool(call, **options), replace)
        signature_options(Registration.tool).check("orc.tool()", options)
        build = make_tool(**options)

        def register(function: Callable[..., Any]) -> Tool:
            return self.add(build(function), replace)

        return register

    @contextmanager
    @checked()
    def override(self, tool: Tool) -> Generator[Tool]:
        """Replace the tool with the same name within a `with` block; for tests."""
        old = self._swap(tool)
        try:
            yield tool
        finally:
            self._swap(old)

    @checked()
    def connect(self, a: str | Tool, b: str | Tool, cost: float = 0.0) -> None:
        """Add a transition: `b` may start once any tool connected into it is done and all its needs are there.

        `cost`, in US dollars, is paid for the transition that is taken; `connect(START, b)` is an entry.
        Raises `DefinitionError` for unknown tools, self-loops, duplicates and impossible costs.
        """
        self.graph.connect(a, b, cost)

    @checked()
    def classify(self, table: FailureTable) -> None:
        """Add the project's own rows before the built-in rows of the failure table."""
        self._runtime.classify_by(table)

    @checked()
    def require_skills(self, key: str, weights: DemandSource) -> None:
        """Declare which skills a step that gives `key` demands: a mapping, or a function of the values at hand.

        Raises `DefinitionError` for a key that no tool gives, and `InputError` for invalid weights and for an unknown
        skill: here if the agents of the key are registered already, else when a run needs one of them.
        """
        view = self.graph.view()
        if not view.producers(key):
            given = [known for known in view.keys if view.producers(known)]
            raise DefinitionError(f"No tool gives {key!r}, so no step demands skills for it.{nearest(key, given)}")
        demands = self._runtime.demands
        if not callable(weights):
            demands.check(view, key, Demand(weights))
        demands.sources[key] = weights

    @property
    def escalation(self) -> Sequence[Any]:
        """The rungs of the ladder, in the order in which an impasse asks them."""
        return tuple(self._runtime.ladder)

    @property
    def demand_model(self) -> DemandModel | None:
        """The model that is asked for the demand of a step when its text does not determine it; may be set.

        A `DemandModel`, a chat model or its string; `None` for none.
        """
        return self._runtime.demands.model

    @demand_model.setter
    def demand_model(self, model: Any) -> None:
        made = model if model is None or isinstance(model, DemandModel) else DemandModel(model)
        self._runtime.demands.model = made

    @checked()
    def price_facts(self, tool: str) -> PriceFacts:
        """The current price facts of a tool or an agent. Raises `DefinitionError` for an unknown name."""
        return facts_now(self._runtime, self.graph[tool])

    @checked()
    def price(self, tool: str, source: str | None = None) -> float | None:
        """The current price of a tool or an agent in US dollars; `None` for one that is down.

        Includes the transition from `source` if there is one. Raises `DefinitionError` for an unknown name.
        """
        return price_now(self._runtime, self.graph[tool], source)


__all__ = ["Registration"]
