"""Groups texts that are equal except for numbers, ids and quotations, or nearly equal."""

import re

from orchestrator import Agent

CHANGING = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,})*\b|\d+(?:[.:,]\d+)*|\"[^\"]*\"|'[^']*'")
"""The parts in which messages of one kind differ: numbers, ids, quotations."""
ALIKE = 0.6
"""Shared part of the words (Jaccard) from which on two texts say the same."""


def shape_of(text: str) -> str:
    """A text without numbers, ids and quotations."""
    return " ".join(CHANGING.sub("#", text).lower().split())


def by_shape(items: list[str]) -> list[list[int]]:
    """Indices of the texts that are equal except for numbers, ids and quotations; each group in order, by first
    place."""
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(items):
        groups.setdefault(shape_of(text), []).append(place)
    return list(groups.values())


def by_likeness(items: list[str]) -> list[list[int]]:
    """Indices of the texts that share most of their words with the first of their group."""
    found: list[tuple[frozenset[str], list[int]]] = []
    for group in by_shape(items):
        words = frozenset(re.findall(r"[^\W\d_]+", shape_of(items[group[0]])))
        for known, places in found:
            shared = len(words & known) / len(words | known) if words | known else 1.0
            if shared >= ALIKE:
                places.extend(group)
                break
        else:
            found.append((words, list(group)))
    return [sorted(places) for _, places in found]


shape_grouper = Agent(
    by_shape,
    name="shape_grouper",
    gives="groups",
    skills={"group": 0.75, "group.noisy": 0.2},
    latency=0.01,
    description="Put texts together that differ only in numbers, ids and quotations.",
)
likeness_grouper = Agent(
    by_likeness,
    name="likeness_grouper",
    gives="groups",
    skills={"group": 0.75, "group.noisy": 0.7},
    latency=0.5,
    description="Put texts together that share most of their words.",
)
