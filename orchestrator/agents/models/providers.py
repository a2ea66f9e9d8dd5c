"""Facts about providers of models: standard names, published prices, how to disable the retries of their clients."""

import logging
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orchestrator.core.conventions import UNKNOWN_PROVIDER
from orchestrator.core.text import plain

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "amazon_bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "ibm": "ibm.watsonx.ai",
}
_BY_MODEL: Final = (
    ("gpt", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("claude", "anthropic"),
    ("gemini", "gcp.gemini"),
    ("mistral", "mistral_ai"),
    ("command", "cohere"),
    ("deepseek", "deepseek"),
    ("grok", "x_ai"),
)


def provider_name(provider: Any, model: str) -> str:
    """The provider as the conventions name it: from LangChain's name, a `provider:model` string, or the model."""
    named = str(provider or "").lower() or (model.partition(":")[0].lower() if ":" in model else "")
    if named:
        return plain(_PROVIDERS.get(named, named), 60)
    return next((name for start, name in _BY_MODEL if model.lower().startswith(start)), UNKNOWN_PROVIDER)


PROVIDERS: Final = {
    "google_genai": "google",
    "google_vertexai": "google",
    "bedrock_converse": "aws",
    "mistralai": "mistral",
}
"""LangChain's name of a provider -> that of genai-prices, where they differ."""


@lru_cache(maxsize=1024)
def known_price(model: str) -> tuple[float, float] | None:
    """The price of a model by its name (`gpt-4o-mini`, `openai:gpt-4o-mini`); `None` where it is not known.

    From the table that the package genai-prices brings along; nothing is fetched.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    provider, _, name = model.rpartition(":")
    where = PROVIDERS.get(provider, provider) or None
    try:
        given = calc_price(Usage(input_tokens=1_000_000), model_ref=name, provider_id=where).total_price
        taken = calc_price(Usage(output_tokens=1_000_000), model_ref=name, provider_id=where).total_price
    except (LookupError, ValueError):
        logging.getLogger("orchestrator").debug("no published price of %s", model)
        return None
    return float(given), float(taken)


M = TypeVar("M", bound="BaseChatModel")


def one_attempt(model: M) -> M:
    """The same chat model without the retries of its client; itself where it has none, or they are unknown to us.

    The clients of OpenAI (and what is made of it, such as vLLM's) and Anthropic repeat a request twice by default and
    sleep in between, which budgets, deadlines and health cannot see. The copy shares the connections of the original.
    """
    if getattr(model, "max_retries", 0) == 0:
        return model
    if hasattr(getattr(model, "root_async_client", None), "with_options"):
        return _with_clients(model)
    cached = {
        name for kind in type(model).__mro__ for name, it in vars(kind).items() if isinstance(it, cached_property)
    }
    if "_async_client" not in cached:
        return model
    made = model.model_copy(update={"max_retries": 0})
    for name in cached:  # made again when it is first used, as `max_retries` now says
        vars(made).pop(name, None)
    return made


def _with_clients(model: M) -> M:
    changed: dict[str, Any] = {"max_retries": 0}
    for root, client in (("root_client", "client"), ("root_async_client", "async_client")):
        given: Any = getattr(model, root, None)
        if hasattr(given, "with_options"):
            changed[root] = given.with_options(max_retries=0)
            changed[client] = changed[root].chat.completions
    return model.model_copy(update=changed)
