"""What a text demands, without a model."""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from orchestrator.agents.agent import Agent
from orchestrator.errors import DefinitionError
from orchestrator.selection import Demand, Handbook, HashedEmbedding, Selector, Skill, SkillIndex, discover
from orchestrator.selection.choice.embedding import unit_rows
from orchestrator.selection.competence.sampling import Floats
from tests.selection.workers import worker

SKILLS = (
    Skill(
        id="translate",
        description="Say a text in another language.",
        indicators=("translate", "into German", "into French"),
        examples=("Translate this letter into Spanish.", "How do you say good morning in Italian?"),
    ),
    Skill(
        id="arithmetic",
        description="Work out numbers.",
        indicators=("sum", "percent", "how many"),
        examples=("What is 17 times 23?", "A train travels 60 miles in 2 hours. How fast is it?"),
    ),
    Skill(
        id="summarise",
        description="Say what matters in fewer words.",
        indicators=("summary", "key points", "in brief"),
        examples=("Give me the main points of this report.", "Sum up the meeting in three lines."),
    ),
)


@pytest.fixture
def index() -> SkillIndex:
    return SkillIndex(Handbook.of(SKILLS))


@pytest.mark.parametrize(
    ("text", "skill"),
    [
        ("Please translate the manual into German", "translate"),
        ("How do you say good evening in Portuguese?", "translate"),
        ("What is 12 times 40?", "arithmetic"),
        ("A car travels 90 miles in 3 hours; how fast is it?", "arithmetic"),
        ("What are the key points of the annual report?", "summarise"),
        ("Sum up this letter in three lines", "summarise"),
    ],
)
def test_the_nearest_skill_weighs_most(index: SkillIndex, text: str, skill: str) -> None:
    demand = index.demand(text)
    assert max(demand.weights, key=lambda name: demand.weights[name]) == skill
    assert demand.source == "inferred"


@pytest.mark.parametrize("text", ["", "?!", "the of and", "qqqq zzzz xxxx"])
def test_a_text_about_nothing_known_is_neutral(index: SkillIndex, text: str) -> None:
    assert index.demand(text).neutral
    assert SkillIndex(Handbook()).demand(text).neutral


def test_the_body_tells_more_than_the_name() -> None:
    """With names and descriptions alone most of these texts cannot be told apart (SkillRouter)."""
    bare = SkillIndex(Handbook.of(Skill(id=s.id, description=s.description) for s in SKILLS))
    full = SkillIndex(Handbook.of(SKILLS))
    texts = {"How do you say hello in Danish?": "translate", "A bus travels 10 miles. How fast?": "arithmetic"}
    assert all(full.scores(text)[0].skill == skill for text, skill in texts.items())
    assert not all(bare.scores(text)[0].skill == skill for text, skill in texts.items())


def test_scores_say_why(index: SkillIndex) -> None:
    best = index.scores("Please translate this into French")[0]
    assert best.skill == "translate"
    assert best.because == ("into French", "translate") or best.because == ("translate", "into French")
    similar = index.scores("How do you say good evening in Dutch?")[0]
    assert similar.because == ("How do you say good morning in Italian?",)


def test_any_embedding_plugs_in() -> None:
    def letters(texts: Sequence[str], /) -> Floats:
        return unit_rows(np.array([[text.lower().count(letter) for letter in "xyz"] for text in texts], dtype=float))

    handbook = Handbook.of([Skill(id="ex", examples=("xx",)), Skill(id="why", examples=("yyy",))])
    assert SkillIndex(handbook, letters).demand("yyyyx").skills == ("why",)


def test_the_embedding_is_the_same_everywhere() -> None:
    embed = HashedEmbedding(dimensions=64)
    rows = embed(["red green blue", "Red, green: BLUE", ""])
    assert np.array_equal(rows[0], rows[1])
    assert np.linalg.norm(rows[0]) == pytest.approx(1)
    assert not rows[2].any()
    assert np.flatnonzero(rows[0]).tolist() == np.flatnonzero(embed(["red green blue"])[0]).tolist()


def test_a_selector_infers_and_refines() -> None:
    agents: list[Agent] = [worker("polyglot", skills="translate"), worker("clerk", skills={"arithmetic": 0.9})]
    selector = Selector(agents, handbook=Handbook.of(SKILLS))
    assert selector.select(selector.demand("What is 9 times 9?")).agent == "clerk"
    assert selector.select(selector.demand("Translate it into German")).agent == "polyglot"
    assert selector.demand("What is 9 times 9?", {"translate": 1}) == Demand("translate")
    assert selector.demand(None).neutral


def test_a_split_skill_is_told_apart_by_the_text() -> None:
    parts = (
        Skill(id="work/1", parent="work", examples=("Paint the fence.",)),
        Skill(id="work/2", parent="work", examples=("Add these numbers.",)),
    )
    selector = Selector([worker("a", skills="work")], handbook=Handbook.of([Skill(id="work"), *parts]))
    assert selector.demand("Paint the garden fence green", "work") == Demand("work/1")
    assert selector.demand("Something else entirely", "work") == Demand("work")


def test_discovery_finds_what_texts_are_about() -> None:
    topics = {
        "cook": ["boil the {} in salted water", "fry the {} in butter", "bake the {} in the oven"],
        "code": ["write a function that sorts a {} list", "fix the bug in the {} loop", "test the {} function"],
        "law": ["is the {} contract valid", "who owns the {} under the contract", "the court ruled on the {} contract"],
    }
    fillers = ["red", "small", "new", "long", "old", "first", "great", "other", "second", "third"]
    texts = [(topic, line.format(word)) for topic, lines in topics.items() for line in lines for word in fillers]
    found = discover([text for _, text in texts], skills=9)
    again = discover([text for _, text in texts], skills=9)
    assert found == again
    index = SkillIndex(found)
    homes: dict[str, Counter[str]] = {}
    for topic, text in texts:
        homes.setdefault(index.scores(text)[0].skill, Counter())[topic] += 1
    assert sum(max(seen.values()) for seen in homes.values()) >= 0.85 * len(texts)
    assert all(skill.provenance == "discovered" and skill.examples for skill in found.skills.values())
    assert "contract" in {word for skill in found.skills.values() for word in skill.indicators}


def test_discovery_can_keep_the_words_to_itself() -> None:
    texts = [f"secret number {n} of the plan" for n in range(20)]
    found = discover(texts, skills=2, keep_texts=False)
    assert "secret" not in found.to_json()
    assert SkillIndex(found).demand("secret number 3 of the plan").skills
    with pytest.raises(DefinitionError, match="prototypes are in"):
        found.under("something-else")


PREFIX = "You are a careful assistant. Read the question, think step by step, and answer with one letter only. " * 25


TOPICS = (
    ["fence", "brush", "varnish", "paint", "wall", "door", "primer", "roller", "colour", "gloss", "sanding", "timber"],
    ["invoice", "total", "tax", "ledger", "sum", "balance", "credit", "debit", "account", "rate", "discount", "audit"],
    ["bird", "song", "dawn", "nest", "feather", "winter", "garden", "seed", "blackbird", "wing", "migration", "heron"],
)


def test_what_all_texts_share_does_not_change_what_they_demand() -> None:
    assert len(PREFIX) > 2500
    drawn = random.Random(3)
    texts = [" ".join(drawn.sample(TOPICS[n % 3], 7)) for n in range(120)]
    certainty: dict[str, float] = {}
    for prefix in ("", PREFIX):
        index = SkillIndex(discover([prefix + text for text in texts], skills=3, keep_texts=False))
        main = [max(index.demand(prefix + text).items, key=lambda item: item[1]) for text in texts]
        assert [len({skill for skill, _ in main[topic::3]}) for topic in range(3)] == [1, 1, 1]
        certainty[prefix] = float(np.mean([weight for _, weight in main]))
    assert certainty[PREFIX] > 0.9 * certainty[""]


def test_new_skills_lie_in_the_space_of_the_handbook() -> None:
    texts = ["paint the fence", "paint the door", "add up the totals", "the sum of the totals"] * 3
    book = discover([f"{text} {n}" for n, text in enumerate(texts)], skills=2)
    assert book.shared and Handbook.from_json(book.to_json()).shared == book.shared
    again = discover(texts, skills=2, shared=())
    assert again.shared == ()
