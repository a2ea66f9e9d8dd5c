"""The sentences that the rest of a text agrees with most: TextRank, without a model.

Mihalcea and Tarau, "TextRank: Bringing Order into Texts", EMNLP 2004: sentences are the nodes of a graph whose edges
weigh how many words two sentences share; PageRank over it finds the central ones.
"""

import math
import re

from orchestrator import Agent
from orchestrator.core.checks import has_words

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])|\n{2,}")
ENDS = (".", "!", "?", "…", '"', "'", ")", "”", "’", "»")
WORD = re.compile(r"[^\W\d_]{3,}")
MOST_SENTENCES = 400
"""Of a longer text, the first ones: the work grows with their square."""


def sentences_of(text: str) -> list[str]:
    """The sentences of a text; headings and scraps are no sentences."""
    found = (" ".join(part.split()) for part in SENTENCE.split(text))
    return [part for part in found if len(part.split()) >= 5 and part.endswith(ENDS)][:MOST_SENTENCES]


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared words, normalised by the lengths of both sentences."""
    if len(one) < 2 or len(other) < 2:
        return 0.0
    return len(one & other) / (math.log(len(one)) + math.log(len(other)))


def rank(words: list[frozenset[str]], damping: float = 0.85, rounds: int = 30) -> list[float]:
    """PageRank of the sentences by power iteration."""
    count = len(words)
    weights = [[similarity(a, b) if i != j else 0.0 for j, b in enumerate(words)] for i, a in enumerate(words)]
    totals = [sum(row) for row in weights]
    scores = [1.0 / count] * count
    for _ in range(rounds):
        flows = [scores[i] / totals[i] if totals[i] else 0.0 for i in range(count)]
        scores = [
            (1 - damping) / count + damping * sum(weights[i][j] * flows[i] for i in range(count) if weights[i][j])
            for j in range(count)
        ]
    return scores


def summarise(text: str) -> str:
    """The three most central sentences, in the order in which they stand."""
    sentences = sentences_of(text)
    if len(sentences) <= 3:
        return " ".join(sentences) or " ".join(text.split())[:500]
    scores = rank([frozenset(word.lower() for word in WORD.findall(sentence)) for sentence in sentences])
    best = sorted(range(len(sentences)), key=lambda place: (-scores[place], place))[:3]
    return " ".join(sentences[place] for place in sorted(best))


extractive_summariser = Agent(
    summarise,
    name="extractive_summariser",
    gives="summary",
    skills={"summarise": 0.8, "summarise.long": 0.7},
    latency=0.1,
    ensure=has_words,
)
