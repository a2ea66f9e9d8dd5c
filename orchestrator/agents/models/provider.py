"""`provider_name`: the provider of a model, as the GenAI conventions name it."""

from typing import Any, Final

from orchestrator.core.conventions import UNKNOWN_PROVIDER
from orchestrator.core.text import plain

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
