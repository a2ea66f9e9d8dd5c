"""Agents that use a chat model: the prompt, the model's own tools, and parsing of the answer."""

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.agents.models.providers import one_attempt
from orchestrator.core.calls.options import shown_value
from orchestrator.core.context import RunContext
from orchestrator.core.enums import Effect
from orchestrator.core.errors import CallerError, DefinitionError, InvalidOutput
from orchestrator.core.process.installation import missing_extra
from orchestrator.core.types.schema import adapter, given_types

from .chat_tools import as_text, run_tool_calls, tool_offers
from .conversation import Conversation, agent_failure
from .options import AgentOptions

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

MAX_ROUNDS = 12
"""Maximum rounds of tool calls before an answer is required."""
LOCAL_PROVIDERS = ("ollama", "llamacpp", "huggingface_pipeline")
"""Providers of local models."""


@dataclass(frozen=True)
class ChatWorker:
    """The adapter of a chat model: it is prompted with the inputs and answers with the expected type.

    After a rejected answer the model is asked again with the reason. Usage goes to `ctx.usage` as `input_tokens`,
    `output_tokens` and `model_calls`.
    """

    model: "BaseChatModel | str"
    instructions: str = ""
    tools: tuple[Any, ...] = ()
    gives: Mapping[str, Any] = field(default_factory=dict[str, Any])
    name: str = "chat_model"
    reads: bool = False
    """Whether the agent is declared to read only: then its own tools may be called again after a crash."""

    @classmethod
    def of(cls, model: "BaseChatModel | str", options: AgentOptions) -> "ChatWorker":
        """A worker under the options of an agent. Raises `DefinitionError` when they do not fit a chat model."""
        name = options.get("name") or (model if isinstance(model, str) else model_name(model))
        if isinstance(model, str):
            check_model(model)
        if "needs" not in options:
            raise DefinitionError(f"Agent {name!r}: a chat model has no parameters to read; state needs=[...].")
        gives = given_types(name, options.get("gives"), str)
        typed = {key: str if annotation is Any else annotation for key, annotation in gives.items()}
        tools = tuple(options.get("tools", ()))
        tool_offers(name, tools)
        once = model if isinstance(model, str) else one_attempt(model)
        reads = options.get("effect") == Effect.READ
        return cls(once, options.get("instructions", ""), tools, typed, name, reads)

    def as_agent(self, options: AgentOptions) -> "tuple[ChatWorker, AgentOptions]":
        """This worker, and the user's options with the types of what is given and where the data goes."""
        provider = self.model.partition(":")[0] if isinstance(self.model, str) else ""
        defaults: AgentOptions = {
            "name": self.name,
            "data_leaves": provider not in LOCAL_PROVIDERS,
            "description": self.instructions or f"The chat model {self.name}.",
        }
        return self, {**defaults, **classifying(options), "gives": dict(self.gives)}

    async def __call__(self, ctx: RunContext, feedback: str | None = None, **inputs: Any) -> Any:
        """Ask the model. Raises `InvalidOutput` for an answer that holds no data of the wanted kind."""
        from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage

        messages: list[AnyMessage] = []
        system = "\n\n".join(part for part in (self.instructions, answer_format(self.gives)) if part)
        if system:
            messages.append(SystemMessage(system))
        messages.append(HumanMessage(prompt(inputs, feedback)))
        talk = Conversation.of(ctx, messages, f"{system}\n\n{prompt(inputs)}")
        if talk.answered is not None and feedback is None:  # the call was lost after the answer
            return read_answer(talk.answered.text, self.gives)
        if talk.answered is not None:
            await talk.add(HumanMessage(prompt({}, feedback)))
        answer = await self._converse(ctx, talk)
        return read_answer(answer.text, self.gives)

    async def _converse(self, ctx: RunContext, talk: Conversation) -> "AIMessage":
        """Let the model call its tools until it answers; a recorded conversation continues where it was."""
        from .listener import config_for

        model = load_model(self.model)
        offers = tool_offers(ctx.tool, self.tools, ctx.inputs_of)
        asked: Any = model.bind_tools([offer.spec for offer in offers]) if offers else model
        config = config_for(ctx)
        for _ in range(MAX_ROUNDS):
            if offers and talk.turn is not None:
                await run_tool_calls(ctx, offers, talk, repeatable=self.reads)
            answer: AIMessage = await asked.ainvoke(talk.messages, config)
            answer = message_of_chunk(answer)
            count_usage(ctx, answer)
            await talk.add(answer)
            if not answer.tool_calls or not offers:
                return answer
        raise InvalidOutput(f"The model called its tools {MAX_ROUNDS} times without giving an answer.")


def classifying(options: AgentOptions) -> AgentOptions:
    """The options with the agents' failure row after the user's own."""
    own = options.get("classify")

    def kind(error: BaseException) -> Any:
        return agent_failure(error) or (own(error) if own is not None else None)

    return {**options, "classify": kind}


def message_of_chunk(answer: Any) -> "AIMessage":
    """The whole message of a streamed answer."""
    from langchain_core.messages import AIMessageChunk, message_chunk_to_message

    return message_chunk_to_message(answer) if isinstance(answer, AIMessageChunk) else answer  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def count_usage(ctx: RunContext, answer: "AIMessage") -> None:
    """Add the usage in a message to the call's usage."""
    ctx.usage["model_calls"] += 1
    if answer.usage_metadata:
        ctx.usage["input_tokens"] += answer.usage_metadata["input_tokens"]
        ctx.usage["output_tokens"] += answer.usage_metadata["output_tokens"]


def prompt(inputs: Mapping[str, Any], feedback: str | None = None) -> str:
    """The user message: each input under its name, and why the last answer was rejected."""
    parts = [f"{name}:\n{as_text(value)}" for name, value in inputs.items()]
    if feedback:
        parts.append(f"Your last answer was rejected: {feedback}\nAnswer again, and mend that.")
    return "\n\n".join(parts)


def answer_format(gives: Mapping[str, Any]) -> str:
    """The instruction about the form of the answer in the system prompt; empty for text."""
    if _wants_text(gives):
        return ""
    schema: dict[str, Any]
    if len(gives) == 1:
        schema = adapter(next(iter(gives.values()))).json_schema()
    else:
        properties = {key: adapter(annotation).json_schema() for key, annotation in gives.items()}
        schema = {"type": "object", "properties": properties, "required": list(gives)}
    return "Answer with JSON only, no other text, valid under this JSON Schema:\n" + json.dumps(schema)


def read_answer(text: str, gives: Mapping[str, Any]) -> Any:
    """The data in a model's answer: text unchanged, JSON parsed, without code fences and surrounding words.

    Raises `InvalidOutput` when there is none. Types are checked by the caller of the agent.
    """
    if _wants_text(gives):
        if not text.strip():
            raise InvalidOutput("The model gave an empty answer.")
        return text.strip()
    found = find_json(text)
    if found is not None:
        return found[0]
    if len(gives) == 1 and text.strip():
        return text.strip().strip("\"'`")  # an enum or a literal without its quotes; validation judges it
    raise InvalidOutput("The answer holds no JSON.")


def find_json(text: str) -> tuple[Any] | None:
    """The first JSON value in a text, as a tuple of one, so that `null` is not mistaken for nothing."""
    stripped = text.strip()
    if stripped.startswith("```"):
        stripped = stripped.strip("`").strip().removeprefix("json").strip()
    try:
        return (json.loads(stripped),)
    except ValueError:
        pass
    decoder = json.JSONDecoder()
    for place, character in enumerate(text):
        if character in "{[":
            try:
                return (decoder.raw_decode(text, place)[0],)
            except ValueError:
                continue
    return None


def _wants_text(gives: Mapping[str, Any]) -> bool:
    return len(gives) == 1 and next(iter(gives.values())) is str


def model_name(model: Any) -> str:
    """The name of a chat model."""
    for attribute in ("model_name", "model"):
        value = getattr(model, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(model).__name__


def check_model(model: object) -> None:
    """Raises `DefinitionError` for what is neither a LangChain chat model nor a string that names one."""
    from langchain_core.language_models import BaseChatModel

    if isinstance(model, BaseChatModel):
        return
    if not isinstance(model, str) or not model.strip():
        raise DefinitionError(
            f"A chat model is LangChain's, or a string such as 'openai:gpt-5-mini', not {shown_value(model)}."
        )
    if importlib.util.find_spec("langchain") is None:
        raise DefinitionError(missing_extra(f"The chat model {model!r}", "langchain", "llm"))


def load_model(model: "BaseChatModel | str") -> "BaseChatModel":
    """The chat model that a string names, created on first use, so that no key is needed before.

    Its own retries are disabled, because only one layer retries. Raises `CallerError` when it cannot be created.
    """
    if not isinstance(model, str):
        return model
    if model not in _LOADED:
        _LOADED[model] = _make_model(model)
    return _LOADED[model]


_LOADED: "dict[str, BaseChatModel]" = {}


def _make_model(name: str) -> "BaseChatModel":
    from langchain.chat_models import init_chat_model

    try:
        made: BaseChatModel = init_chat_model(name)
        if "max_retries" in type(made).model_fields:
            made = init_chat_model(name, max_retries=0)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CallerError(f"The chat model {name!r} cannot be set up: {reason}") from error
    return made
