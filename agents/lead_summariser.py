"""A summary of the first sentences of a text. Fast, and good enough for many texts."""

from orchestrator import Agent
from orchestrator.core.checks import has_words
from orchestrator.integrations.documents.sentences import first_words, joined, summary_sentences


def lead(text: str) -> str:
    """The first three sentences; headings and scraps are no sentences."""
    return joined(summary_sentences(text, 6)[:3]) or first_words(text, 300)


lead_summariser = Agent(
    lead,
    name="lead_summariser",
    gives="summary",
    skills={"summarise": 0.5, "summarise.long": 0.2},
    latency=0.005,
    ensure=has_words,
)
