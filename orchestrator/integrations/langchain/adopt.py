"""Adopts an agent's LangChain tools into a graph: their effects, and the alternatives that may answer for them."""

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
from .session import is_child

CALL: Final = "tool_call"
"""The key of the id under which a call in progress is found."""


@dataclass(frozen=True)
class Adopted:
    """How a call of a tool is put to the graph."""

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
    """The tools that were adopted into an orchestrator."""

    def __init__(self, orc: Orchestrator, alternatives: Any, effects: Mapping[str, str] | None) -> None:
        self.orc = orc
        self.alternatives, self.objects = read_alternatives(alternatives, (BaseTool, Tool))
        self.effects = {name: Effect(effect) for name, effect in (effects or {}).items()}
        self.calls: dict[str, ToolCall] = {}
        """Calls in progress, by the id that is handed through the graph."""
        self._adopted: dict[str, Adopted] = {}
        self._stands_in: dict[str, list[str]] = {}
        for name, listed in self.alternatives.items():
            for one in listed:
                self._stands_in.setdefault(one.name, []).append(name)

    def call_of(self, run_id: str) -> ToolCall | None:
        """The call in progress that a child run was started for."""
        return next((call for token, call in self.calls.items() if _started_for(run_id, token)), None)

    def check(self, names: Iterable[str]) -> None:
        """Raises `DefinitionError` for an option that names a tool which the agent does not have."""
        known = {*names, *self.orc.graph.view().tools, *self.objects}
        for option, named in (("alternatives", {*self.alternatives, *self._stands_in}), ("effects", {*self.effects})):
            for name in sorted(named - known):
                raise DefinitionError(f"{option}= names {name!r}, which is no tool here.{nearest(name, known)}")

    def adopt(self, tool: BaseTool, every: Mapping[str, BaseTool]) -> Adopted:
        """The tool in the graph, with the alternatives that are among `every` tool of the agent or the orchestrator."""
        found = self._adopted.get(tool.name)
        if found is not None:
            return found
        known = self.orc.graph.view().tools.get(tool.name)
        if known is not None and not getattr(known, "adopted", False):
            found = self._declared(tool, known)
        else:
            self._add(tool)
            found = Adopted(answer_key(tool.name), None)
        self._adopted[tool.name] = found
        for one in self.alternatives.get(tool.name, ()):
            self._add_alternative(tool, one, every, found)
        return found

    # -- tools of the agent ------------------------------------------------------------------------------------------

    def _add(self, tool: BaseTool) -> None:
        names = [tool.name, *(n for n in self._stands_in.get(tool.name, ()) if self._own_goal(n))]

        async def work(_context: RunContext[Any], arguments: dict[str, Any], tool_call: str) -> Any:
            call = self.calls.get(tool_call)
            if call is None:
                raise Unavailable("the agent that made this call is no longer running")
            given = call.request.tool_call["args"] if call.tool == tool.name else arguments
            value = await call.invoke(tool, given)
            return value if len(names) == 1 else dict.fromkeys(map(answer_key, names), value)

        self._put(
            Tool(
                work,
                name=tool.name,
                description=tool.description,
                needs={"arguments": arguments_key(tool.name), "tool_call": CALL},
                gives=dict.fromkeys(map(answer_key, names), Any),
                effect=self.effects.get(tool.name) or _stated_effect(tool),
                classify=reported_kind,
                share=True,
            )
        )

    def _own_goal(self, name: str) -> bool:
        known = self.orc.graph.view().tools.get(name)
        return known is None or bool(getattr(known, "adopted", False))

    def _declared(self, tool: BaseTool, known: Tool) -> Adopted:
        """A tool that the orchestrator declares: it keeps its declaration, and runs as the agent would run it."""

        async def work(ctx: RunContext[Any] | None, inputs: dict[str, Any]) -> Any:
            call = self.call_of(ctx.run_id) if ctx is not None else None
            if call is None or call.tool != tool.name:
                args, kwargs = known.bind(inputs)
                if known.signature is not None and known.signature.context and ctx is not None:
                    kwargs[known.signature.context] = ctx
                output = known.call(*args, **kwargs)
                return await output if hasattr(output, "__await__") else output
            await call.invoke(tool, call.request.tool_call["args"])
            if call.interrupted is not None:
                await call.abandon()
            return _typed(call, known)

        clone = copy.copy(known)
        types = known.parameter_types
        clone.call = with_signature(work, known.name, types, set(known.needs), doc=known.description)
        clone.signature, clone.is_async = read_signature(clone.call), True
        if tool.name in self.effects:
            clone.effect = self.effects[tool.name]
        clone.adopted = True  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        self.orc.graph.replace(clone)
        return Adopted(next(iter(known.gives)), {**known.needs, **known.optional})

    # -- alternatives ------------------------------------------------------------------------------------------------

    def _add_alternative(
        self, tool: BaseTool, one: FallbackTool, every: Mapping[str, BaseTool], target: Adopted
    ) -> None:
        given = self.objects.get(one.name, every.get(one.name))
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
    """What is handed through the graph for a call of a root run."""
    return f"{root}\n{key}"


def _started_for(run_id: str, token: str) -> bool:
    root, _, key = token.partition("\n")
    return run_id.startswith(f"{root}/") and is_child(run_id, key)


def _same(value: Any) -> Any:
    return value


def _typed(call: ToolCall, known: Tool) -> Any:
    """What the tool answered, as the type of its key. Raises `InvalidOutput`."""
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
    """What the tool's metadata says, else a write: a trusted MCP annotation, an HTTP method, or `effect`."""
    metadata: Mapping[str, Any] = tool.metadata or {}
    try:
        return Effect(metadata["effect"])
    except (KeyError, ValueError):
        return Effect.WRITE


__all__ = ["CALL", "Adopted", "Adoption", "FallbackTool", "answer_key", "call_token"]
