"""What all texts repeat is left out: the same skills are found and demanded with a template as without one."""

from random import Random

import numpy as np
import pytest

from orchestrator.selection import Handbook, SkillIndex, discover
from orchestrator.selection.choice.boilerplate import ENOUGH, boilerplate_of, without_boilerplate

TOPICS = {
    "law": ["contract", "clause", "liability", "court", "appeal", "statute", "tort", "damages", "plaintiff", "ruling"],
    "sums": ["integral", "matrix", "prime", "fraction", "equation", "sum", "vector", "theorem", "angle", "polynomial"],
    "cells": ["enzyme", "protein", "membrane", "nucleus", "gene", "tissue", "virus", "antibody", "cell", "neuron"],
}
WORDS = [
    "you",
    "are",
    "a",
    "careful",
    "assistant",
    "who",
    "must",
    "answer",
    "each",
    "court",
    "question",
    "about",
    "a",
    "cell",
    "or",
    "sum",
]
PREFIX = " ".join(Random(1).choices(WORDS, k=400))


def texts(count: int) -> list[str]:
    """Short questions about three things."""
    random = Random(5)
    names = sorted(TOPICS)
    return [" ".join(random.choices(TOPICS[names[i % 3]], k=8)) + f" case {i}" for i in range(count)]


def demands(handbook: Handbook, asked: list[str]) -> list[dict[str, float]]:
    """What each text demands."""
    index = SkillIndex(handbook)
    return [dict(index.demand(text).items) for text in asked]


@pytest.mark.parametrize("suffix", ["", "\n\nThink step by step, then give one letter and nothing else at all."])
def test_a_template_around_every_text_changes_no_demand(suffix: str) -> None:
    plain = texts(120)
    framed = [f"{PREFIX}\nQ: {text}{suffix}" for text in plain]
    bare, told = discover(plain, skills=3), discover(framed, skills=3)
    assert told.boilerplate
    for one, other in zip(demands(bare, plain), demands(told, framed), strict=True):
        assert one.keys() == other.keys()
        assert np.allclose(sorted(one.values()), sorted(other.values()), atol=0.1)
    sizes = [SkillIndex(told).demand(text).size for text in framed]
    assert len(set(sizes)) > 5, "the length of the question counts, not that of the template"


def test_what_only_some_texts_share_stays() -> None:
    plain = texts(90)
    assert boilerplate_of(plain) == ()
    half = [f"{PREFIX} {text}" if i % 2 else text for i, text in enumerate(plain)]
    assert boilerplate_of(half) == ()
    assert boilerplate_of([f"{PREFIX} {text}" for text in plain[: ENOUGH - 1]]) == ()


def test_the_rest_of_a_text_stays_as_it_is() -> None:
    runs = frozenset(boilerplate_of([f"{PREFIX}: What is {text}?" for text in texts(60)]))
    assert without_boilerplate("Something else, (altogether)!", runs) == "Something else, (altogether)!"
    assert without_boilerplate(f"{PREFIX}: What is a tort, in {{1, 2}}?", runs).endswith("tort, in {1, 2}?")


def test_a_handbook_is_read_with_and_without_boilerplate() -> None:
    told = discover([f"{PREFIX} {text}" for text in texts(60)], skills=3)
    assert Handbook.model_validate_json(told.model_dump_json()) == told
    old = told.model_dump(mode="json")
    del old["boilerplate"]
    assert Handbook.model_validate(old).boilerplate == ()
