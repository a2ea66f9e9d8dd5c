"""The first sentences of a text: what a newspaper reader would read. Quick, and often good enough."""

import re

from orchestrator import Agent
from orchestrator.core.checks import has_words

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])|\n{2,}")
ENDS = (".", "!", "?", "…", '"', "'", ")", "”", "’", "»")


def lead(text: str) -> str:
    """The first three sentences; headings and scraps are no sentences."""
    parts = (" ".join(part.split()) for part in SENTENCE.split(text))
    sentences = [part for part in parts if len(part.split()) >= 5 and part.endswith(ENDS)]
    return " ".join(sentences[:3]) or " ".join(text.split())[:300]


lead_summariser = Agent(
    lead,
    name="lead_summariser",
    gives="summary",
    skills={"summarise": 0.5, "summarise.long": 0.2},
    latency=0.005,
    ensure=has_words,
)
