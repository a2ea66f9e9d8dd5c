"""Three tools of a shop, and the spans of decisions."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan

from orchestrator import (
    tool,
)
from orchestrator.core import conventions as names
from tests.support.telemetry import attributes


@tool(gives="quote", cost=0.002)
def carrier(parcel: str) -> float:
    return float(len(parcel))


@tool(gives="quote", cost=0.02)
def table(parcel: str) -> float:
    return float(len(parcel)) + 1


@tool(gives="label")
async def buy(quote: float) -> str:
    return f"label for {quote}"


def decisions(spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """The spans of decisions."""
    return [span for span in spans if names.DECISION_ID in attributes(span)]
