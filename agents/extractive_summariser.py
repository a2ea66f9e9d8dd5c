"""A summary of the most central sentences of a text: TextRank, without a model.

Mihalcea and Tarau, "TextRank: Bringing Order into Texts", EMNLP 2004: sentences are the nodes of a graph whose edges
weigh how many words two sentences share; PageRank over it finds the central ones. Sentences at the beginning count
more, because authors begin with what is important; stop words of the language do not count.
"""

import math
import re

from orchestrator import Agent
from orchestrator.core.checks import has_words
from orchestrator.integrations.documents import detect_language, stop_words
from orchestrator.integrations.documents.sentences import first_words, joined, summary_sentences

WORD = re.compile(r"[^\W\d_]{3,}")
SPACELESS = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
MOST_SENTENCES = 300
"""Of a longer text, the first ones: the work grows with their square."""
SENTENCES = 3


def words_of(sentence: str, stops: frozenset[str]) -> frozenset[str]:
    """The units that two sentences can share: words except stop words, or pairs of characters in scripts without
    spaces."""
    words = {word.lower() for word in WORD.findall(sentence)} - stops
    letters = "".join(SPACELESS.findall(sentence))
    return frozenset(words | {letters[place : place + 2] for place in range(len(letters) - 1)})


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
    near = [[j for j, weight in enumerate(row) if weight] for row in weights]
    scores = [1.0 / count] * count
    for _ in range(rounds):
        flows = [scores[i] / totals[i] if totals[i] else 0.0 for i in range(count)]
        scores = [
            (1 - damping) / count + damping * sum(weights[j][i] * flows[i] for i in near[j]) for j in range(count)
        ]
    return scores


def summarise(text: str) -> str:
    """The three best sentences, in the order in which they stand."""
    sentences = summary_sentences(text, MOST_SENTENCES)
    if len(sentences) <= SENTENCES:
        return joined(sentences) or first_words(text)
    stops = stop_words(detect_language(text))
    scores = rank([words_of(sentence, stops) for sentence in sentences])
    mean = 1.0 / len(sentences)
    weighed = [score * (1 + 2 / (1 + place / 2)) for place, score in enumerate(scores)]
    best = sorted(range(len(sentences)), key=lambda place: (-weighed[place], place))[:SENTENCES]
    if scores[0] >= 0.5 * mean and 0 not in best:
        best[-1] = 0  # the first sentence says what the text is about, unless nothing after it agrees
    return joined([sentences[place] for place in sorted(best)])


extractive_summariser = Agent(
    summarise,
    name="extractive_summariser",
    gives="summary",
    skills={"summarise": 0.8, "summarise.long": 0.7},
    latency=0.1,
    ensure=has_words,
    isolation="process",
    memory=1000,
)
