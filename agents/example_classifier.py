"""Classifies a text by examples that are given with it: naive Bayes if there are many, the nearest example if there are
few."""

import math
import re
from collections import Counter

from orchestrator import Agent, CallerError, Refused

LITTLE_WORDS = """an and are as at be but by for from had has have in into is it its nor of on or our so than that the
their then there these they this those to too was we were which with you your"""
SAYING_NOTHING = frozenset(LITTLE_WORDS.split())
LEAST_LIKENESS = 0.2
"""A text with a lower cosine to every example is refused."""
LEAST_KNOWN = 0.25
"""Share of a text's words that examples must have, unless they have three."""
WORD = re.compile(r"[^\W\d_]{2,}")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; without numbers and stop words."""
    return [word for word in WORD.findall(text.lower()) if word not in SAYING_NOTHING]


def checked(label_examples: dict[str, list[str]]) -> dict[str, list[list[str]]]:
    """The words of each example. Raises `CallerError` for less than two labels, or a label without an example."""
    if len(label_examples) < 2 or not all(label_examples.values()):
        raise CallerError("label_examples names at least two labels, each with an example")
    return {label: [words_of(text) for text in texts] for label, texts in sorted(label_examples.items())}


def by_bayes(text: str, label_examples: dict[str, list[str]]) -> str:
    """The most probable label: multinomial naive Bayes with Laplace's smoothing; ties by the alphabet.

    Raises `Refused` for a text that shares hardly a word with the examples.
    """
    examples = checked(label_examples)
    counts = {label: Counter(word for words in texts for word in words) for label, texts in examples.items()}
    known = set[str]().union(*counts.values())
    asked = words_of(text)
    words = [word for word in asked if word in known]
    if not words or len(words) < min(3, LEAST_KNOWN * len(asked)):
        raise Refused("the text is like no example")
    total = sum(len(texts) for texts in examples.values())

    def score(label: str) -> float:
        size = sum(counts[label].values()) + len(known)
        return math.log(len(examples[label]) / total) + sum(
            math.log((counts[label][word] + 1) / size) for word in words
        )

    return max(examples, key=score)


def by_nearest(text: str, label_examples: dict[str, list[str]]) -> str:
    """The label of the example that shares most, by cosine over words that weigh less the more examples have them.

    Raises `Refused` for a text that shares hardly a word with any example.
    """
    examples = checked(label_examples)
    sets = [frozenset(words) for texts in examples.values() for words in texts]
    spread = Counter(word for words in sets for word in words)

    def weigh(words: frozenset[str]) -> dict[str, float]:
        return {word: math.log(1 + len(sets) / max(1, spread[word])) for word in sorted(words)}

    def likeness(one: dict[str, float], other: dict[str, float]) -> float:
        shared = sum(weight * other[word] for word, weight in one.items() if word in other)
        return shared / (math.hypot(*one.values()) * math.hypot(*other.values())) if shared else 0.0

    asked = weigh(frozenset(words_of(text)))
    best = {
        label: max(likeness(asked, weigh(frozenset(words))) for words in texts) for label, texts in examples.items()
    }
    label = max(best, key=lambda name: best[name])
    if best[label] < LEAST_LIKENESS:
        raise Refused("the text is like no example")
    return label


bayes_classifier = Agent(
    by_bayes,
    name="bayes_classifier",
    gives="label",
    skills={"classify": 0.75, "classify.few": 0.45},
    latency=0.01,
    description="Tell which label a text deserves, from many examples of each.",
)
nearest_classifier = Agent(
    by_nearest,
    name="nearest_classifier",
    gives="label",
    skills={"classify": 0.6, "classify.few": 0.75},
    latency=0.02,
    description="Tell which label a text deserves, from a few examples of each.",
)
