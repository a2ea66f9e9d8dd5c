"""Agents that use a LangChain `Runnable` or a compiled LangGraph."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_type_hints

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from pydantic import BaseModel

from orchestrator.core.context import RunContext
from orchestrator.core.enums import Effect
from orchestrator.core.errors import DefinitionError, InvalidOutput
from orchestrator.core.types.schema import adapter, given_types

from .chat import ChatWorker, classifying, prompt, read_answer
from .conversation import unanswered_call
from .listener import UsageListener, config_for
from .options import AgentOptions
from .threads import InterruptQuestions, ThreadedGraph, answered_calls, interrupts_of

RunnableWork = Runnable[Any, Any]


def langchain_worker(call: Any, options: AgentOptions) -> Any:
    """The adapter of a LangChain or LangGraph object; `call` itself for any other.

    Raises `DefinitionError` for options that do not fit, and for a graph that was not compiled.
    """
    if isinstance(call, BaseChatModel):
        return ChatWorker.of(call, options)
    for option in ("instructions", "tools"):
        if option in options:
            raise DefinitionError(f"{option}= is for an agent made of a chat model, not of a {type(call).__name__}.")
    if hasattr(call, "compile") and not isinstance(call, Runnable):
        raise DefinitionError(f"An agent is made of a compiled graph: call .compile() on the {type(call).__name__}.")
    return _runnable_worker(call, options) if isinstance(call, Runnable) else call  # pyright: ignore[reportUnknownArgumentType]


def _runnable_worker(runnable: RunnableWork, options: AgentOptions) -> Any:
    name = options.get("name") or runnable.get_name()
    gives = given_types(name, options.get("gives"), Any)
    keys = state_keys(runnable)
    reads = options.get("effect") == Effect.READ
    if keys is not None:
        return GraphWorker(runnable, name, gives, keys, reads, ThreadedGraph(runnable))
    return RunnableWorker(runnable, name, gives, input_fields(runnable), reads)


@dataclass(frozen=True)
class RunnableWorker:
    """The adapter of a `Runnable`: it gets a mapping of its needs, or the value of its only one."""

    runnable: RunnableWork
    name: str
    gives: Mapping[str, Any]
    fields: tuple[str, ...] | None
    """Fields of the mapping that it takes; `None` when it takes one bare value."""
    reads: bool = False
    """Whether the agent is declared as a read: then it may be started again after calls of its tools."""

    def as_agent(self, options: AgentOptions) -> "tuple[RunnableWorker, AgentOptions]":
        """This worker, and the user's options with the needs that the runnable declares."""
        needs = _needs(self.name, self.fields or (), options)
        if self.fields is None and len(needs) != 1:
            raise DefinitionError(
                f"Agent {self.name!r}: its runnable takes one value, not a mapping; name one key in needs=, "
                f"not {list(needs)!r}."
            )
        return self, {
            **_defaults(self.name, self.gives),
            **classifying(options),
            "needs": needs,
            "gives": dict(self.gives),
        }

    async def __call__(self, ctx: RunContext, feedback: str | None = None, **inputs: Any) -> Any:
        """Invoke the runnable; a prompt that has a `feedback` variable receives why its last answer was rejected."""
        given: Any = next(iter(inputs.values())) if self.fields is None else dict(inputs)
        if self.fields is not None and "feedback" in self.fields:
            given = {**given, "feedback": feedback or ""}
        elif self.fields is None and feedback and isinstance(given, str):
            given = f"{given}\n\n{prompt({}, feedback)}"
        config = config_for(ctx, _mark(ctx, "tool called", reads=self.reads))
        return _read(await _invoke(self.runnable, given, config), self.gives)


@dataclass(frozen=True)
class GraphWorker:
    """The adapter of a compiled LangGraph: needs are input keys of its state, gives are output keys.

    A graph whose state is messages is given its needs as one user message and answers with its last message, or with
    its `structured_response`.
    """

    graph: RunnableWork
    name: str
    gives: Mapping[str, Any]
    keys: tuple[str, ...]
    """Keys of its input state."""
    reads: bool = False
    """Whether the agent is declared as a read: then it may be started again after calls of its tools."""
    threads: ThreadedGraph | None = None

    def as_agent(self, options: AgentOptions) -> "tuple[GraphWorker, AgentOptions]":
        """This worker, and the user's options with the keys of the graph's state as needs."""
        needs = _needs(self.name, () if self.keys == ("messages",) else self.keys, options)
        wrong = sorted(set(needs) - set(self.keys))
        if self.keys and wrong and "messages" not in self.keys:
            raise DefinitionError(
                f"Agent {self.name!r} needs {wrong!r}, which its graph does not take. It takes {list(self.keys)!r}."
            )
        return self, {
            **_defaults(self.name, self.gives),
            **classifying(options),
            "needs": needs,
            "gives": dict(self.gives),
        }

    async def __call__(self, ctx: RunContext, feedback: str | None = None, **inputs: Any) -> Any:
        """Run the graph on a thread of this run; finished nodes do not run again after a failure or a question."""
        threads = self.threads or ThreadedGraph(self.graph)
        thread = threads.thread(ctx, inputs)
        where: RunnableConfig = {"configurable": {"thread_id": thread}}
        state = await threads.state(where) if ctx.attempt > 1 else None
        lost = state is None and threads.in_memory
        listener = _mark(ctx, f"{thread}.called", reads=self.reads or not lost)
        if state is not None:
            listener.answered = answered_calls(state)
        config: RunnableConfig = {**config_for(ctx, listener), **where}
        questions = InterruptQuestions(ctx, thread)
        given: Any = self._given(inputs, feedback)
        if state is not None and (state.next or not feedback):
            given = None
        elif state is not None and "messages" in self.keys:
            given = {"messages": [HumanMessage(prompt({}, feedback))]}
        if state is not None and interrupts_of(state):
            given = await questions.ask(interrupts_of(state))
        threads.note(thread)
        while True:
            output = dict(state.values) if given is None and state is not None and not state.next else None
            output = await _invoke(threads.graph, given, config) if output is None else output
            if not interrupts_of(output):
                break
            given = await questions.ask(interrupts_of(output))
        answer = _read(output, self.gives)
        threads.forget(thread)
        return answer

    def _given(self, inputs: Mapping[str, Any], feedback: str | None) -> dict[str, Any]:
        given = {key: value for key, value in inputs.items() if key in self.keys} if self.keys else dict(inputs)
        if "messages" in self.keys and "messages" not in inputs:
            rest = {key: value for key, value in inputs.items() if key not in self.keys}
            given["messages"] = [HumanMessage(prompt(rest, feedback))]
        elif "feedback" in self.keys and feedback:
            given["feedback"] = feedback
        return given


def _mark(ctx: RunContext, mark: str, *, reads: bool) -> UsageListener:
    """The listener of a call that begins from the start. Raises `UnansweredToolCall` where tools inside were called in
    an earlier call of this step, whose progress is lost.
    """
    called = ctx.kept(mark)
    if called and not reads:
        raise unanswered_call(str(called))
    return UsageListener(ctx, mark)


async def _invoke(runnable: RunnableWork, given: Any, config: RunnableConfig) -> Any:
    """Invoke the graph, also if the run itself is inside a LangGraph, of which this graph is no subgraph."""
    outer = var_child_runnable_config.set(None)
    try:
        return await runnable.ainvoke(given, config)
    finally:
        var_child_runnable_config.reset(outer)


def _read(output: Any, gives: Mapping[str, Any]) -> Any:
    """The output of a runnable by the keys that its agent gives. Raises `InvalidOutput` when a key is missing."""
    if isinstance(output, BaseMessage):
        return read_answer(output.text, _texts(gives))
    if not isinstance(output, Mapping):
        return dict(output) if isinstance(output, BaseModel) and len(gives) > 1 else output
    state = cast(Mapping[str, Any], output)
    missing = [key for key in gives if key not in state]
    if not missing:
        return {key: state[key] for key in gives} if len(gives) > 1 else state[next(iter(gives))]
    if state.get("structured_response") is not None:
        return state["structured_response"]
    messages = state.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], BaseMessage):
        return read_answer(messages[-1].text, _texts(gives))
    if len(gives) == 1 and _is_mapping_type(next(iter(gives.values()))):
        return dict(state)
    raise InvalidOutput(f"The output lacks {', '.join(missing)}; it holds {', '.join(map(str, state)) or 'nothing'}.")


def _is_mapping_type(annotation: Any) -> bool:
    return annotation is not Any and adapter(annotation).json_schema().get("type") == "object"


def _texts(gives: Mapping[str, Any]) -> dict[str, Any]:
    return {key: str if annotation is Any else annotation for key, annotation in gives.items()}


def state_keys(call: Any) -> tuple[str, ...] | None:
    """Keys that a compiled graph takes; empty when they cannot be read; `None` for anything but a graph."""
    from langgraph.pregel.protocol import PregelProtocol

    if not isinstance(call, PregelProtocol):
        return None
    builder: Any = getattr(call, "builder", None)  # pyright: ignore[reportUnknownArgumentType]
    schema: Any = getattr(builder, "input_schema", None)
    if schema is None:
        return ()
    try:
        return tuple(get_type_hints(schema))
    except (NameError, TypeError):
        return ()


def input_fields(runnable: RunnableWork) -> tuple[str, ...] | None:
    """Fields of the mapping that a runnable takes; empty for a mapping of anything; `None` for one bare value."""
    try:
        schema = runnable.get_input_jsonschema()
    except Exception:  # a type that pydantic has no schema for
        return None
    if "properties" in schema:
        return tuple(schema["properties"])
    return () if schema.get("type") == "object" else None


def _needs(name: str, readable: tuple[str, ...], options: AgentOptions) -> Mapping[str, str]:
    """Parameter -> key: as declared by the user, else read from the graph."""
    stated: Any = options.get("needs")
    if stated is None:
        stated = [key for key in readable if key != "feedback"]
    if isinstance(stated, str):
        stated = [stated]
    mapping: dict[str, str] = {}
    mapping.update(stated if isinstance(stated, Mapping) else {str(key): str(key) for key in stated})  # pyright: ignore[reportUnknownArgumentType]
    if not mapping:
        raise DefinitionError(f"Agent {name!r}: what it needs cannot be read from it; state needs=[...].")
    return mapping


def _defaults(name: str, gives: Mapping[str, Any]) -> AgentOptions:
    return {"name": name, "gives": dict(gives), "data_leaves": True, "description": f"The runnable {name}."}
