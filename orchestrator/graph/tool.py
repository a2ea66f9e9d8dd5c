"""`Tool`, and `@tool` that builds one: a callable with what it needs, what it gives, and its price."""

import inspect
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Self, overload

from typing_extensions import Unpack

from orchestrator.core.calls.options import options_of, shown_value
from orchestrator.core.calls.signatures import signature_of
from orchestrator.core.calls.source import at, calling_place, place_of
from orchestrator.core.calls.user_code import call_plain, is_async
from orchestrator.core.checks import check_name, check_number
from orchestrator.core.enums import Effect
from orchestrator.core.errors import DefinitionError
from orchestrator.core.types.schema import (
    CallSignature,
    adapter,
    describe_call,
    given_types,
    read_signature,
    without_none,
)

from .langchain_tool import callable_of, is_langchain_tool, langchain_tool_of
from .tool_options import MAX_COST, Cost, LatencyOption, ToolOptions, check_functions

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


class Tool:
    """A callable with `needs` (keys in), `gives` (keys out), a price and an `effect`.

    Calling the tool calls the function itself without checks, for unit tests. Raises `DefinitionError` for options that
    make no sense.
    """

    is_agent: ClassVar[bool] = False
    """Whether a model, a program or a person does the work, chosen by skill."""

    def __init__(self, call: "Callable[..., Any] | BaseTool", **options: Unpack[ToolOptions]) -> None:
        check_tool_options("Tool", call, options, ToolOptions)
        if is_langchain_tool(call):
            call, options = _from_langchain(call, options)
        self.call = call
        self.place = place_of(call) or calling_place()
        """File and line of the declaration, for messages; empty where Python does not know."""
        name = options.get("name")
        self.name: str = check_name("a tool", _default_name(call) if name is None else name, DefinitionError)
        self.signature = read_signature(call, _frames_locals())
        _check_form(self.name, call, options, self.place)
        self.needs, self.optional = _needs(self.name, self.signature, options)
        self.idempotency_key = options.get("idempotency_key")
        if self.idempotency_key is not None:
            self._take_idempotency_parameter(self.idempotency_key, explicit="needs" in options)
        returns = self.signature.returns if self.signature else Any
        self.gives: dict[str, Any] = given_types(self.name, options.get("gives"), returns)
        for key in (*self.needs.values(), *self.optional.values(), *self.gives):
            check_name(f"a key of tool {self.name!r}", key, DefinitionError)
        self.cost: Cost = options.get("cost", 0.0)
        self.declares_cost = "cost" in options
        """Whether the cost was given; without, what calls report counts."""
        self.latency: LatencyOption = options.get("latency", 0.0)
        self.risk = options.get("risk", 0.0)
        self.effect = _effect(self.name, options.get("effect", Effect.READ))
        self.timeout = options.get("timeout")
        self.retries = options.get("retries")
        self.when = options.get("when")
        self.ensure = options.get("ensure")
        self.reconcile = options.get("reconcile")
        self.compensate = options.get("compensate")
        self.undo_cost = options.get("undo_cost", 0.0)
        self.approval = options.get("approval", False)
        self.health_check = options.get("health_check")
        self.max_concurrency = options.get("max_concurrency")
        self.ttl = options.get("ttl")
        self.credential = options.get("credential")
        self.isolation = options.get("isolation")
        self.memory = options.get("memory")
        self.share = options.get("share", False)
        self.classify = options.get("classify")
        self.description = options.get("description") or inspect.cleandoc(getattr(call, "__doc__", None) or "")
        self.is_async = is_async(call)
        check_functions(self.name, [*self.needs, *self.optional], options)
        self._check_numbers()
        self._check_isolation()
        self._check_types()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.call(*args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}: {', '.join(self.needs.values())} -> {', '.join(self.gives)})"

    @classmethod
    def from_langchain(cls, tool: Any, **options: Unpack[ToolOptions]) -> Self:
        """A tool made of a LangChain tool, whose schema and injected arguments are kept; the same as `Tool(tool)`."""
        if not is_langchain_tool(tool):
            raise DefinitionError(f"from_langchain takes a LangChain tool, not {tool!r}.")
        return cls(tool, **options)

    def as_langchain(self) -> Any:
        """This tool as a LangChain tool, which calls its function unchecked; the original of one made of a LangChain
        tool. Raises `DefinitionError` for a tool that takes the `RunContext`: `orc.as_tool(goal)` gives it a run.
        """
        declared: Tool | None = getattr(self, "declared", None)
        if declared is not None:  # an agent has adopted it
            return declared.as_langchain()
        original = getattr(self.call, "langchain_tool", None)
        if original is None and self.signature is not None and self.signature.context:
            raise DefinitionError(
                f"Tool {self.name!r} takes the RunContext, so it works inside a run only: "
                f"orc.as_tool({next(iter(self.gives))!r}) makes a LangChain tool that starts one."
            )
        types = self.parameter_types
        takes = {p: (types[p], p in self.needs) for p in (*self.needs, *self.optional)}
        return langchain_tool_of(self.name, self.description, self.call, takes, is_async=self.is_async)

    @cached_property
    def takes(self) -> Mapping[str, str]:
        """Parameter -> key, of needs and of what is filled when it is at hand."""
        return {**self.needs, **self.optional}

    @cached_property
    def parameter_types(self) -> dict[str, Any]:
        """The annotation of each parameter that takes a key (`Any` where there is none)."""
        found = {p.name: p for p in self.signature.parameters} if self.signature else {}
        types: dict[str, Any] = {}
        for name in (*self.needs, *self.optional):
            parameter = found.get(name)
            annotation = parameter.annotation if parameter else Any
            types[name] = annotation if parameter is None or parameter.required else without_none(annotation)
        return types

    @property
    def skills(self) -> Mapping[str, float]:
        """Declared competence per skill; a plain tool has none."""
        return {}

    def bind(self, inputs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for a call with `inputs` (parameter -> value)."""
        args: list[Any] = []
        kwargs = dict(inputs)
        for name in self.positional:
            if name in kwargs:
                args.append(kwargs.pop(name))
        return args, kwargs

    @cached_property
    def positional(self) -> tuple[str, ...]:
        """The parameters that are passed by position, in order."""
        if self.signature is None:
            return tuple(self.takes)
        only = {p.name for p in self.signature.parameters if p.positional_only}
        return tuple(name for name in self.takes if name in only)

    def planned_cost(self) -> float:
        """US dollars a call is expected to cost before anything is known of its usage."""
        if not callable(self.cost):
            return self.cost
        nothing_used = Counter[str]()  # whatever it asks for
        if is_async(self.cost):
            return float(call_plain(_without_waiting, self.cost(nothing_used)))
        return float(call_plain(self.cost, nothing_used))

    def planned_latency(self) -> float:
        """Declared seconds of a call whose inputs are not known; of a function that needs its inputs: 0."""
        if not callable(self.latency):
            return self.latency
        try:
            return float(call_plain(self.latency))
        except Exception:
            return 0.0

    def _check_types(self) -> None:
        """Build the type adapters: a type that pydantic does not support is an error at the declaration."""
        for key, annotation in (*self.parameter_types.items(), *self.gives.items()):
            try:
                adapter(annotation)
            except DefinitionError as error:
                raise DefinitionError(f"Tool {self.name!r}: {key}: {error}{at(self.place)}") from error

    def _check_isolation(self) -> None:
        if self.isolation not in (None, "process"):
            raise DefinitionError(f"Tool {self.name!r}: isolation is 'process' or left out, not {self.isolation!r}.")
        if self.isolation is not None and self.is_async:
            raise DefinitionError(f"Tool {self.name!r}: isolation='process' is for sync calls; this one is async.")
        if self.isolation is not None and self.signature is not None and self.signature.context:
            raise DefinitionError(
                f"Tool {self.name!r}: a call with isolation='process' takes no RunContext: it runs in another process."
            )
        if self.memory is not None and self.isolation is None:
            raise DefinitionError(f"Tool {self.name!r}: memory= limits a call with isolation='process'.")

    def _take_idempotency_parameter(self, parameter: str, *, explicit: bool) -> None:
        known = {p.name for p in self.signature.parameters} if self.signature else {parameter}
        if parameter not in known and not (self.signature and self.signature.takes_any):
            raise DefinitionError(
                f"Tool {self.name!r}: idempotency_key names the parameter {parameter!r}, which its call does not have."
            )
        if not explicit:
            self.needs.pop(parameter, None)
        self.optional.pop(parameter, None)

    def _check_numbers(self) -> None:
        if callable(self.latency) and is_async(self.latency):
            raise DefinitionError(
                f"Tool {self.name!r}: latency= is a number or a plain function: planning awaits nothing."
            )
        cost: Any = 0.0 if callable(self.cost) else self.cost
        for label, value, top in (
            ("cost", cost, MAX_COST),
            ("undo_cost", self.undo_cost, MAX_COST),
            ("latency", self.planned_latency(), 1e7),
            ("memory", self.memory, 1e9),
            ("risk", self.risk, 1.0),
            ("ttl", self.ttl, math.inf),
        ):
            if value is not None:
                check_number(f"Tool {self.name!r}: {label}", value, top)
        if self.timeout is not None and check_number(f"Tool {self.name!r}: timeout", self.timeout) == 0:
            raise DefinitionError(f"Tool {self.name!r}: timeout is a positive number of seconds, not {self.timeout!r}.")
        for label, count, least in (("retries", self.retries, 0), ("max_concurrency", self.max_concurrency, 1)):
            if count is not None and (not isinstance(count, int) or count < least):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise DefinitionError(
                    f"Tool {self.name!r}: {label} is a whole number of at least {least}, not {count!r}."
                )
        overlap = sorted(set(self.needs.values()) & set(self.gives))
        if overlap:
            raise DefinitionError(
                f"Tool {self.name!r} gives a key that it needs: {', '.join(overlap)}. Give the result another key."
            )


def _without_waiting(work: Any) -> Any:
    """The result of a coroutine that awaits nothing; 0 for one that does, whose result is not known yet."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    work.close()
    return 0.0


@overload
def tool(call: Callable[..., Any], /) -> Tool: ...
@overload
def tool(**options: Unpack[ToolOptions]) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    call: Callable[..., Any] | None = None, /, **options: Unpack[ToolOptions]
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a `Tool` of a function: `@tool` or `@tool(gives="quote", cost=0.002)`."""
    if isinstance(call, str):
        raise DefinitionError(f"@tool takes its options by name: write @tool(name={call!r}).")
    if call is not None:
        return Tool(call, **options)
    options_of(ToolOptions).check("@tool", options)

    def build(function: Callable[..., Any]) -> Tool:
        return Tool(function, **options)

    return build


def _from_langchain(tool: Any, options: ToolOptions) -> tuple[Callable[..., Any], ToolOptions]:
    """The callable of a LangChain tool, and the options with its name and description."""
    call = callable_of(tool)
    defaults: ToolOptions = {"name": tool.name, "description": tool.description, "needs": call.takes}  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    return call, {**defaults, **options}


def check_tool_options(kind: str, call: Any, options: Mapping[str, Any], declared: type) -> None:
    """Raises `DefinitionError` for an unknown option, or one of the wrong kind, of a tool or an agent."""
    if isinstance(call, Tool):
        raise DefinitionError(f"{kind} takes a function, not {shown_value(call)}, which is one already.")
    if kind == "Tool" and not callable(call) and not is_langchain_tool(call):
        raise DefinitionError(f"Tool takes a function, not {shown_value(call)}.")
    name = options.get("name") or getattr(call, "__name__", None) or type(call).__name__
    options_of(declared).check(f"{kind} {name!r}", options)


def _check_form(name: str, call: Callable[..., Any], options: ToolOptions, place: str) -> None:
    """Raises `DefinitionError` for a callable that could never be called as a tool."""
    where = at(place)
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise DefinitionError(
            f"Tool {name!r} is a generator{where}: a tool returns its value. Return a list; ctx.report shows progress."
        )
    if inspect.isclass(call) and "__call__" in vars(call) and call.__init__ is object.__init__:
        raise DefinitionError(
            f"Tool {name!r} is a class{where} whose objects are called. Make a tool of one: Tool({call.__name__}())."
        )
    if not (inspect.isfunction(call) or inspect.isbuiltin(call)) or options.get("needs") is not None:
        return
    try:
        parameters = list(signature_of(call).parameters.values())
    except ValueError:  # a builtin without one: its needs= are asked for
        return
    owner = call.__qualname__.rpartition(".")[0]
    if parameters and parameters[0].name in ("self", "cls") and owner and not owner.endswith("<locals>"):
        raise DefinitionError(
            f"Tool {name!r} is a method of the class {owner!r}{where}: no call passes {parameters[0].name!r}. "
            f"Make a tool of the bound method of an object instead: Tool(object.{call.__name__})."
        )
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise DefinitionError(
                f"Tool {name!r} takes {str(parameter).partition(':')[0]}{where}, which names no keys. "
                "Write a parameter for each key."
            )
        if parameter.name == "ctx" and parameter.annotation is inspect.Parameter.empty:
            raise DefinitionError(
                f"Tool {name!r}: the parameter 'ctx' has no annotation{where}, so it counts as a key. Write "
                "ctx: RunContext for the context of the run; or name the key with needs=."
            )


def _default_name(call: Callable[..., Any]) -> str:
    target: Any = call
    while isinstance(target, partial):
        target = target.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    name = getattr(target, "__name__", None) or getattr(target, "name", None) or type(target).__name__  # pyright: ignore[reportUnknownArgumentType]
    if name == "<lambda>":
        raise DefinitionError("A lambda has no name: give the tool one with name=.")
    return str(name)


def _needs(name: str, signature: CallSignature | None, options: ToolOptions) -> tuple[dict[str, str], dict[str, str]]:
    """Required and optional parameters, each mapped to its key."""
    stated: Any = options.get("needs")
    if stated is None:
        if signature is None:
            raise DefinitionError(f"The signature of tool {name!r} cannot be read. State its keys with needs=[...].")
        required = {p.name: p.name for p in signature.parameters if p.required}
        return required, {p.name: p.name for p in signature.parameters if not p.required}
    if isinstance(stated, str):
        stated = [stated]
    parameters = [p.name for p in signature.parameters] if signature else None
    if isinstance(stated, Mapping):
        mapping = {str(parameter): str(key) for parameter, key in stated.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    else:
        keys = [str(key) for key in stated]
        if len(set(keys)) < len(keys):
            raise DefinitionError(f"Tool {name!r} names a key twice in needs={keys!r}.")
        by_name = parameters is None or set(keys) <= set(parameters) or (signature is not None and signature.takes_any)
        if not by_name and parameters is not None and len(keys) > len(parameters):
            raise DefinitionError(f"Tool {name!r} needs {keys!r}, but its call takes only {parameters!r}.")
        mapping = dict(zip(keys if by_name or parameters is None else parameters, keys, strict=False))
    if signature is None or parameters is None:
        return mapping, {}
    if not signature.takes_any:
        wrong = sorted(set(mapping) - set(parameters))
        if wrong:
            raise DefinitionError(f"Tool {name!r}: needs= names {wrong!r}, which its call does not take.")
    skip = {options.get("idempotency_key")}
    missing = [p.name for p in signature.parameters if p.required and p.name not in mapping and p.name not in skip]
    if missing:
        raise DefinitionError(f"Tool {name!r}: its call also takes {missing!r}, which needs= does not name.")
    defaults = {p.name for p in signature.parameters if not p.required}
    if isinstance(stated, Mapping):
        return (
            {p: k for p, k in mapping.items() if p not in defaults},
            {p: k for p, k in mapping.items() if p in defaults},
        )
    return mapping, {}


def _effect(name: str, effect: str) -> Effect:
    try:
        return Effect(effect)
    except ValueError:
        choices = ", ".join(repr(str(e)) for e in Effect)
        raise DefinitionError(f"Tool {name!r}: effect is one of {choices}, not {effect!r}.") from None


def _frames_locals() -> dict[str, Any]:
    """Local names of the enclosing functions that annotations may refer to (such as types defined in a test)."""
    found: dict[str, Any] = {}
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    for _ in range(8):
        if frame is None or frame.f_code.co_name == "<module>":
            break
        if not str(frame.f_globals.get("__name__")).startswith("orchestrator."):
            found = {**frame.f_locals, **found}
        frame = frame.f_back
    return found


__all__ = ["Cost", "LatencyOption", "Tool", "ToolOptions", "describe_call", "tool"]
