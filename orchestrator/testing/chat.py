"""`ScriptedChatModel`: a LangChain chat model with scripted answers that counts its calls."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field, PrivateAttr

from orchestrator.core.calls.options import check_names
from orchestrator.core.errors import DefinitionError
from orchestrator.core.types.schema import adapter

Scripted = str | AIMessage | BaseException | type[BaseException] | dict[str, Any] | BaseModel
"""A text, a message (with tool calls, say), an error to raise, or a value for `with_structured_output`."""


class ScriptedChatModel(BaseChatModel):
    """Gives its responses one after another; `ScriptedChatModel(["hello", TimeoutError("slow"), AIMessage(...)])`.

    `calls` counts the calls, `received` keeps the messages of each and `bound` the tools that were bound. A call after
    the last response raises `AssertionError`, unless `repeat` is set: then the last one is repeated.
    """

    responses: list[Any] = Field(default_factory=list[Any])
    repeat: bool = False
    usage: dict[str, int] = Field(default_factory=lambda: {"input_tokens": 10, "output_tokens": 5})
    """Tokens that each response reports."""
    _state: "_State" = PrivateAttr(default_factory=lambda: _State())

    def __init__(self, responses: Iterable[Scripted] | Scripted = (), **options: Any) -> None:
        check_names("ScriptedChatModel", options, type(self).model_fields)
        given: Any = responses
        single = isinstance(given, str | BaseMessage | BaseException | dict | BaseModel | type)
        fields: dict[str, Any] = {"responses": [given] if single else list(given), **options}
        super().__init__(**fields)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def calls(self) -> int:
        """How often it was called."""
        return len(self._state.received)

    @property
    def received(self) -> list[list[BaseMessage]]:
        """The messages of each call."""
        return self._state.received

    @property
    def bound(self) -> list[dict[str, Any]]:
        """The tools that were bound last, in OpenAI's form."""
        return self._state.bound

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del stop, run_manager, kwargs
        number = len(self._state.received)
        self._state.received.append(list(messages))
        if number >= len(self.responses) and not (self.repeat and self.responses):
            raise AssertionError(f"The script has {len(self.responses)} responses; this is call {number + 1}.")
        message = self._message(self.responses[min(number, len(self.responses) - 1)])
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _message(self, response: Any) -> AIMessage:
        if isinstance(response, BaseException) or (isinstance(response, type) and issubclass(response, BaseException)):
            raise response
        if isinstance(response, AIMessage):
            return response
        if isinstance(response, BaseModel):
            response = response.model_dump_json()
        text = response if isinstance(response, str) else json.dumps(response)
        tokens_in, tokens_out = self.usage.get("input_tokens", 0), self.usage.get("output_tokens", 0)
        return AIMessage(
            content=text,
            usage_metadata={
                "input_tokens": tokens_in,
                "output_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
            },
        )

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Itself; the tools are kept in `bound`."""
        del tool_choice, kwargs
        self._state.bound = [convert_to_openai_tool(tool) for tool in tools]
        return self

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Responses as values of `schema`: from a tool call, or from text that holds JSON."""
        del kwargs
        parse = _parser(schema)

        def structured(value: AIMessage) -> Any:
            if not include_raw:
                return parse(value)
            try:
                return {"raw": value, "parsed": parse(value), "parsing_error": None}
            except Exception as error:
                return {"raw": value, "parsed": None, "parsing_error": error}

        return self | RunnableLambda(structured)


class _State:
    """What a model saw; shared by everything made of it."""

    def __init__(self) -> None:
        self.received: list[list[BaseMessage]] = []
        self.bound: list[dict[str, Any]] = []


def _parser(schema: Any) -> Callable[[AIMessage], Any]:
    is_type = isinstance(schema, type)
    if not is_type and not isinstance(schema, dict):
        raise DefinitionError(f"A schema is a pydantic model, a typed dict or a JSON schema, not {schema!r}.")

    def parse(message: AIMessage) -> Any:
        value: Any = message.tool_calls[0]["args"] if message.tool_calls else json.loads(str(message.content))
        return adapter(schema).validate_python(value) if is_type else value

    return parse
