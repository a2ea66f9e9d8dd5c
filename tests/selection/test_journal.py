"""Two processes that learn into one handbook: neither loses what the other learned."""

from orchestrator.selection import Handbook, Selector, Skill
from tests.selection.workers import worker


def selector() -> Selector:
    """One process."""
    made = Selector([worker("a", skills="x"), worker("b", skills="x")])
    made.keep_journal()
    return made


def taught(made: Selector, agent: str, outcomes: int) -> Selector:
    for _ in range(outcomes):
        made.learn(agent, "x", True, usd=0.01)
    made.apply_pending()
    return made


def test_what_both_learned_is_there() -> None:
    one, other = taught(selector(), "a", 3), taught(selector(), "b", 5)
    store, steps = one.onto(Handbook())
    one.stored(steps)
    store, steps = other.onto(store)
    other.stored(steps)
    assert store.profile("a").general.total > 2.9
    assert store.profile("b").usd.count == 5
    assert other.handbook == store
    assert not one.unstored
    assert not other.unstored


def test_trying_again_adds_nothing_twice() -> None:
    one = taught(selector(), "a", 3)
    one.turn()
    one.onto(Handbook())  # somebody else was quicker
    store, steps = one.onto(taught(selector(), "b", 2).handbook)
    assert (store.profile("a").usd.count, store.profile("b").usd.count, store.turns) == (3, 2, 1)
    one.stored(steps)
    assert one.onto(store)[0] == store


def test_what_is_learned_meanwhile_stays() -> None:
    one = taught(selector(), "a", 3)
    store, steps = one.onto(Handbook())
    taught(one, "a", 2)
    one.stored(steps)
    assert one.unstored
    assert one.handbook.profile("a").usd.count == 5
    assert one.onto(store)[0].profile("a").usd.count == 5


def test_a_change_by_hand_is_made_again_too() -> None:
    one = taught(selector(), "a", 2)
    one.handbook = one.handbook.with_skills(Skill(id="y", description="why"))
    other = taught(selector(), "b", 2)
    store, _ = one.onto(other.handbook)
    assert set(store.skills) == {"x", "y"}
    assert (store.profile("a").usd.count, store.profile("b").usd.count) == (2, 2)


def test_a_change_that_fits_no_longer_takes_the_place() -> None:
    one = taught(selector(), "a", 2)
    one.onto(Handbook())
    one.stored(1)
    one.handbook = one.handbook.with_skills(Skill(id="part", parent="x"))
    theirs = Handbook.of(["y"])  # no x any more
    assert set(one.onto(theirs)[0].skills) == {"x", "part"}


def test_turns_are_counted_on() -> None:
    one, other = selector(), selector()
    assert [one.turn().number for _ in range(3)] == [1, 2, 3]
    store, _ = one.onto(Handbook())
    one.stored(0)
    assert (store.turns, one.turn().number) == (3, 4)
    other.onto(store)
    assert other.turn().number == 4
    assert Selector(handbook=store).turn().number == 4


def test_learning_alone_keeps_no_journal() -> None:
    alone = Selector([worker("a", skills="x")])
    taught(alone, "a", 3)
    assert not alone.unstored
