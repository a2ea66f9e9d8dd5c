"""`Agent`: a tool whose work a model, a program or a person does, chosen by skill; and `Person`."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args

from typing_extensions import Unpack

from orchestrator.core.checks import check_name, check_number
from orchestrator.core.context import RunContext
from orchestrator.core.errors import DefinitionError
from orchestrator.core.types.schema import given_types, read_signature
from orchestrator.graph.tool import Tool, check_tool_options
from orchestrator.graph.tool_options import ToolOptions

from .options import AgentAdapter, AgentOptions


class Agent(Tool):
    """A tool whose work a model, a program or a person does: `Agent(call, skills={"summarise": 0.9})`.

    `call` is a callable, a LangChain `Runnable`, a compiled LangGraph, a chat model, or the string that names one
    (`"openai:..."`). An agent is a node of the same graph as the tools, so health, price, effects and tracing apply to
    it unchanged; its competence under a step's demand enters its price. Raises `DefinitionError` for invalid options.
    """

    is_agent = True

    def __init__(self, call: Any, **options: Unpack[AgentOptions]) -> None:
        check_tool_options("Agent", call, options, AgentOptions)
        work = _worker(call, options)
        if isinstance(work, AgentAdapter) and not inspect.isclass(work):
            work, options = work.as_agent(options)
        own = set(AgentOptions.__annotations__) - set(ToolOptions.__annotations__)
        plain = cast(ToolOptions, {key: value for key, value in options.items() if key not in own})
        super().__init__(_callable(work), **plain)
        self._skills = declared_skills(self.name, options.get("skills", ()))
        self.trust = options.get("trust", "local")
        self.data_leaves = options.get("data_leaves", False)
        self.accepts_feedback = self._feedback_parameter(options)
        self.judge: Any = options.get("judge")
        self.members: tuple[str, ...] = tuple(getattr(work, "members", ()))
        """Names of the agents of which this one consists; each has health of its own."""
        self.own_tools: tuple[Tool, ...] = tuple(t for t in options.get("tools", ()) if isinstance(t, Tool))
        self._check_words()

    @property
    def skills(self) -> Mapping[str, float]:
        """Declared competence per skill, in [0, 1]."""
        return self._skills

    def _feedback_parameter(self, options: AgentOptions) -> str | None:
        """Name of the parameter that takes the error of a rejected answer; it is never filled from a key."""
        named = options.get("feedback")
        explicit = "feedback" in options
        signature = read_signature(self.call) if self.signature is None else self.signature
        found = {p.name: p for p in signature.parameters} if signature else {}
        if explicit and named is None:
            return None
        parameter = found.get(named or "feedback")
        if explicit and (parameter is None or parameter.required):
            raise DefinitionError(
                f"Agent {self.name!r}: feedback names the parameter {named!r}; its call has no such optional parameter."
            )
        takes_none = parameter is not None and (
            parameter.annotation is Any or type(None) in get_args(parameter.annotation)
        )
        if parameter is None or parameter.required or not (explicit or takes_none):
            return None
        self.optional.pop(parameter.name, None)
        return parameter.name

    def _check_words(self) -> None:
        if self.judge is not None and self.judge is not False and not callable(self.judge):
            raise DefinitionError(
                f"Agent {self.name!r}: judge is a function (inputs, output), a ModelJudge or False: {self.judge!r}."
            )
        if not isinstance(self.trust, str) or not self.trust:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"Agent {self.name!r}: trust names a trust domain, not {self.trust!r}.")
        if not isinstance(self.data_leaves, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"Agent {self.name!r}: data_leaves is True or False, not {self.data_leaves!r}.")


def declared_skills(name: str, skills: Any) -> dict[str, float]:
    """Skill -> declared competence, from the user's option. Raises `DefinitionError` for a value outside [0, 1]."""
    if isinstance(skills, str):
        skills = (skills,)
    if not isinstance(skills, Iterable):
        raise DefinitionError(f"Agent {name!r}: skills is a list of skill ids or a mapping id -> number: {skills!r}.")
    stated: dict[Any, Any] = {}
    stated.update(skills if isinstance(skills, Mapping) else dict.fromkeys(skills, 1.0))  # pyright: ignore[reportUnknownArgumentType]
    for skill in stated:
        check_name(f"a skill of agent {name!r}", skill, DefinitionError)
    return {skill: check_number(f"Agent {name!r}: skill {skill!r}", value, 1.0) for skill, value in stated.items()}


def per_token(
    input: float, output: float, *, typical: tuple[float, float] = (1000, 300)
) -> Callable[[Mapping[str, float]], float]:
    """A `cost=` by tokens: US dollars per million input and output tokens.

    `typical` are the tokens that a call is expected to use, for planning. Raises `DefinitionError` for no prices.
    """
    check_number("The price of input tokens", input)
    check_number("The price of output tokens", output)
    expected = {"input_tokens": float(typical[0]), "output_tokens": float(typical[1])}

    def cost(usage: Mapping[str, float]) -> float:
        used = usage if "input_tokens" in usage or "output_tokens" in usage else expected
        return (input * used.get("input_tokens", 0) + output * used.get("output_tokens", 0)) / 1e6

    return cost


def _worker(call: Any, options: AgentOptions) -> Any:
    """`call` itself, or the adapter of a model or a graph."""
    if isinstance(call, AgentAdapter) and not inspect.isclass(call):
        return call
    if isinstance(call, str):
        from .chat import ChatWorker

        return ChatWorker.of(call, options)
    if any(base.__module__.startswith(("langchain_core", "langgraph")) for base in type(call).__mro__):
        from .langchain import langchain_worker

        return langchain_worker(call, options)
    for option in ("instructions", "tools"):
        if option in options:
            raise DefinitionError(f"{option}= is for an agent made of a chat model, not of {call!r}.")
    return call


def _callable(work: Any) -> Callable[..., Any]:
    if not callable(work):
        raise DefinitionError(
            f"An agent is made of a callable, a Runnable, a graph, or a chat model or its name, not of {work!r}."
        )
    return cast(Callable[..., Any], work)


@dataclass(frozen=True)
class Person:
    """`Agent(Person("Is {brief} fit to send?"), name="editor", needs=["brief"], gives={"verdict": bool})`.

    The question may name inputs in braces. The run waits until `orc.resume(run_id, answer)` answers.
    """

    question: str
    gives: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Key -> type of the answer; an agent fills it in from its own `gives`."""

    def as_agent(self, options: AgentOptions) -> "tuple[Person, AgentOptions]":
        """The person with the keys that the agent gives. Raises `DefinitionError` without a name or needs."""
        name = options.get("name")
        if not name or "needs" not in options:
            raise DefinitionError("An agent made of a Person states name= and needs=[...].")
        gives = given_types(name, options.get("gives"), str)
        defaults: AgentOptions = {"description": self.question}
        return replace(self, gives=gives), {**defaults, **options, "gives": dict(gives)}

    async def __call__(self, ctx: RunContext, feedback: str | None = None, **inputs: Any) -> Any:
        """Ask, and return the answer."""
        question = self.question
        for name, value in inputs.items():
            question = question.replace("{" + name + "}", str(value))
        if feedback:
            question += f" (The last answer was rejected: {feedback})"
        wanted = next(iter(self.gives.values())) if len(self.gives) == 1 else dict[str, Any]
        return await ctx.wait(question, wanted)
