"""Adopts an agent's LangChain tools into a graph, with their effects and alternatives."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.tools import BaseTool

from orchestrator.api import Orchestrator
from orchestrator.core.context import RunContext
from orchestrator.core.enums import Effect
from orchestrator.core.errors import DefinitionError, InvalidOutput, Unavailable, nearest
from orchestrator.core.types.json_schema import with_signature
from orchestrator.core.types.schema import read_signature, validate
from orchestrator.graph.langchain_tool import parameters_of
from orchestrator.graph.tool import Tool
from orchestrator.integrations.alternatives import FallbackTool, read_alternatives
from orchestrator.integrations.tool_results import arguments_key, fitted, reported_kind

from .calls import ToolCall
from .session import NAME, is_child

CALL: Final = "tool_call"
"""The key of the id of a call in progress."""


@dataclass(frozen=True)
class Adopted:
    """How a call of a tool is expressed as a goal of the graph."""

    goal: str
    keys: Mapping[str, str] | None
    """Parameter -> key, for a tool that the orchestrator declares itself; `None` when the arguments are one value."""

    def inputs(self, call: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of the goal."""
        if self.keys is None:
            return {arguments_key(name): dict(arguments), CALL: call}
        return {key: arguments[p] for p, key in self.keys.items() if p in arguments}


def answer_key(name: str) -> str:
    """The key of the answer of a tool."""
    return f"{name}.answer"


class Adoption:
    """The tools that were adopted into an orchestrator, by all agents and nodes that it heals.

    Tools with the same name are one tool of the graph, with one health; each call runs the tool of its own agent.
    """

    def __init__(self, orc: Orchestrator) -> None:
        self.orc = orc
        self.calls: dict[str, ToolCall] = {}
        """Calls in progress, by the id that is passed through the graph."""
        self._alternatives: dict[str, dict[str, FallbackTool]] = {}
        self._objects: dict[str, Any] = {}
        self._effects: dict[str, Effect] = {}
        self._adopted: dict[str, Adopted] = {}

    def declare(self, alternatives: Any, effects: Mapping[str, str] | None) -> Mapping[str, set[str]]:
        """Merge the options of one agent; returns the names in each. Raises `DefinitionError`, also when two agents
        declare different effects of one tool.
        """
        listed, objects = read_alternatives(alternatives, (BaseTool, Tool))
        stated = {name: Effect(effect) for name, effect in (effects or {}).items()}
        for name, effect in stated.items():
            before = self._effects.get(name, effect)
            if before is not effect:
                raise DefinitionError(
                    f"effects= says {str(effect)!r} of {name!r}; for another agent or node of this orchestrator it is "
                    f"{str(before)!r}, and tools of one name are one tool there."
                )
        self._effects |= stated
        self._objects |= objects
        for name, ones in listed.items():
            self._alternatives.setdefault(name, {}).update({one.name: one for one in ones})
        named = {*listed, *(one.name for ones in listed.values() for one in ones)}
        for name in named | {*stated}:
            self._adopted.pop(name, None)
        return {"alternatives": named, "effects": {*stated}}

    def call_of(self, run_id: str) -> ToolCall | None:
        """The call in progress for which a child run was started."""
        return next((call for token, call in self.calls.items() if _started_for(run_id, token)), None)

    def check(self, names: Iterable[str], options: Mapping[str, set[str]]) -> None:
        """Raises `DefinitionError` for an option that names a tool which the agent does not have."""
        known = {*names, *self.orc.graph.view().tools, *self._objects}
        for option, named in options.items():
            for name in sorted(named - known):
                raise DefinitionError(f"{option}= names {name!r}, which is no tool here.{nearest(name, known)}")

    def adopt(self, tool: BaseTool, every: Mapping[str, BaseTool]) -> Adopted:
        """Adopt a tool, with its alternatives from `every` tool of the agent or the orchestrator."""
        found = self._adopted.get(tool.name)
        if found is not None:
            return found
        if tool.name == NAME:
            raise DefinitionError(f"A tool of an agent cannot be called {NAME!r}: that is the run of the agent itself.")
        known = self.orc.graph.view().tools.get(tool.name)
        declared: Tool | None = getattr(known, "declared", None)
        if known is not None and (declared is not None or not getattr(known, "adopted", False)):
            found = self._declared(tool, declared or known)
        else:
            self._add(tool)
            found = Adopted(answer_key(tool.name), None)
        self._adopted[tool.name] = found
        for one in self._alternatives.get(tool.name, {}).values():
            self._add_alternative(tool, one, every, found)
        return found

    def _stands_in(self, name: str) -> list[str]:
        return [other for other, listed in self._alternatives.items() if name in listed]

    # -- tools of the agent ------------------------------------------------------------------------------------------

    def _add(self, tool: BaseTool) -> None:
        names = [tool.name, *(n for n in self._stands_in(tool.name) if self._own_goal(n))]

        async def work(_context: RunContext[Any], arguments: dict[str, Any], tool_call: str) -> Any:
            call = self.calls.get(tool_call)
            if call is None:
                raise Unavailable("the agent that made this call is no longer running")
            given = call.request.tool_call["args"] if call.tool == tool.name else arguments
            value = await call.invoke(call.own(tool), given)
            return value if len(names) == 1 else dict.fromkeys(map(answer_key, names), value)

        self._put(
            Tool(
                work,
                name=tool.name,
                description=tool.description,
                needs={"arguments": arguments_key(tool.name), "tool_call": CALL},
                gives=dict.fromkeys(map(answer_key, names), Any),
                effect=self._effects.get(tool.name) or _stated_effect(tool),
                classify=reported_kind,
                share=True,
            )
        )

    def _own_goal(self, name: str) -> bool:
        known = self.orc.graph.view().tools.get(name)
        return known is None or bool(getattr(known, "adopted", False))

    def _declared(self, tool: BaseTool, known: Tool) -> Adopted:
        """A tool that the orchestrator declares: it keeps its declaration, and runs the way the agent runs it."""

        async def work(ctx: RunContext[Any] | None, inputs: dict[str, Any]) -> Any:
            call = self.call_of(ctx.run_id) if ctx is not None else None
            if call is None or call.tool != tool.name:
                args, kwargs = known.bind(inputs)
                if known.signature is not None and known.signature.context and ctx is not None:
                    kwargs[known.signature.context] = ctx
                output = known.call(*args, **kwargs)
                return await output if hasattr(output, "__await__") else output
            await call.invoke(call.own(tool), call.request.tool_call["args"])
            if call.interrupted is not None:
                await call.abandon()
            return _typed(call, known)

        clone = copy.copy(known)
        types = known.parameter_types
        clone.call = with_signature(work, known.name, types, set(known.needs), doc=known.description)
        clone.signature, clone.is_async = read_signature(clone.call), True
        if tool.name in self._effects:
            clone.effect = self._effects[tool.name]
        clone.declared = known  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        clone.adopted = True  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        self.orc.graph.replace(clone)
        return Adopted(next(iter(known.gives)), {**known.needs, **known.optional})

    # -- alternatives ------------------------------------------------------------------------------------------------

    def _add_alternative(
        self, tool: BaseTool, one: FallbackTool, every: Mapping[str, BaseTool], target: Adopted
    ) -> None:
        given = self._objects.get(one.name, every.get(one.name))
        known = self.orc.graph.view().tools.get(one.name)
        if isinstance(given, BaseTool):
            self.adopt(given, every)
            known = self.orc.graph.view().tools[one.name]
        elif isinstance(given, Tool) and known is None:
            known = self.orc.add(given)
        if known is None:
            raise DefinitionError(f"alternatives= names {one.name!r}, which is no tool here.{nearest(one.name, every)}")
        whole = arguments_key(one.name) in known.needs.values()
        takes = parameters_of(given)[0] if isinstance(given, BaseTool) else known.parameter_types
        required = parameters_of(given)[1] if isinstance(given, BaseTool) else list(known.needs)
        self._check_arguments(tool, one, required)

        def convert(arguments: dict[str, Any]) -> dict[str, Any]:
            mapped = one.mapped(arguments, takes)
            if whole:
                return {arguments_key(one.name): mapped}
            keys = {**known.needs, **known.optional}
            return {keys[p]: value for p, value in mapped.items()}

        source = arguments_key(tool.name)
        if target.keys is not None:
            raise DefinitionError(
                f"{tool.name!r} is declared in the orchestrator: what gives {target.goal!r} there stands in for it. "
                f"Declare {one.name!r} with gives={target.goal!r} instead of alternatives=."
            )
        outputs: dict[str, Any] = {arguments_key(one.name): Any} if whole else dict.fromkeys(known.needs.values(), Any)

        def first(arguments: dict[str, Any]) -> Any:
            made = convert(arguments)
            return next(iter(made.values())) if len(outputs) == 1 else made

        self._put(
            Tool(first, name=f"{tool.name} -> {one.name}", needs={"arguments": source}, gives=outputs, share=True)
        )
        if answer_key(tool.name) not in known.gives:
            result = next(iter(known.gives))
            self._put(
                Tool(
                    _same,
                    name=f"{one.name} => {tool.name}",
                    needs={"value": result},
                    gives={answer_key(tool.name): Any},
                )
            )

    def _check_arguments(self, tool: BaseTool, one: FallbackTool, required: Iterable[str]) -> None:
        if callable(one.arguments):
            return
        names, has = one.arguments or {}, parameters_of(tool)[0]
        lacking = [p for p in required if names.get(p, p) not in has]
        if lacking:
            line = f"alternatives={{{tool.name!r}: {{{one.name!r}: {{{lacking[0]!r}: ...}}}}}}"
            raise DefinitionError(
                f"{one.name!r} cannot answer for {tool.name!r} without its argument {lacking[0]!r}: say which argument "
                f"of {tool.name!r} that is, {line}. {tool.name!r} has: {', '.join(has) or 'none'}."
            )

    def _put(self, tool: Tool) -> None:
        tool.adopted = True  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        if tool.name in self.orc.graph.view().tools:
            self.orc.graph.replace(tool)
        else:
            self.orc.add(tool)


def call_token(root: str, key: str) -> str:
    """The value that is passed through the graph for a call of a root run."""
    return f"{root}\n{key}"


def _started_for(run_id: str, token: str) -> bool:
    root, _, key = token.partition("\n")
    return run_id.startswith(f"{root}/") and is_child(run_id, key)


def _same(value: Any) -> Any:
    return value


def _typed(call: ToolCall, known: Tool) -> Any:
    """The tool's answer, validated by the type of its key. Raises `InvalidOutput`."""
    reply = call.reply
    annotation = next(iter(known.gives.values()))
    for value in (getattr(reply, "artifact", None), getattr(reply, "content", None)):
        if value is not None:
            try:
                return validate("the answer", annotation, fitted(value, annotation))
            except InvalidOutput:
                continue
    raise InvalidOutput(f"{call.name} gave nothing that fits its key")


def _stated_effect(tool: BaseTool) -> Effect:
    """The effect in the tool's metadata (a trusted MCP annotation, an HTTP method, or `effect`), else a write."""
    metadata: Mapping[str, Any] = tool.metadata or {}
    try:
        return Effect(metadata["effect"])
    except (KeyError, ValueError):
        return Effect.WRITE


__all__ = ["CALL", "Adopted", "Adoption", "FallbackTool", "answer_key", "call_token"]
