"""Published prices of models, for those that declare none: US dollars per million input and output tokens."""

import logging
from functools import lru_cache
from typing import Final

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


__all__ = ["known_price"]
