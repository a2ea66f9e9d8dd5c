"""The order of steps: commit last, and the least expected waste, against all orders."""

import math
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.routing.commit import EXACT, Task, order, waits

CLASS = {"read": 0, "write": 1, "irreversible": 2}


def expected_waste(ordered: list[Task]) -> float:
    """What the completed steps have cost when a later one fails, on average."""
    reached, spent, waste = 1.0, 0, 0.0
    for task in ordered:
        waste += reached * (1 - task.success) * spent
        reached *= task.success
        spent += task.pico
    return waste


def allowed(ordered: tuple[Task, ...]) -> bool:
    """Whether an order keeps the rule: nothing before what it needs, no write while a read can run, ..."""
    done: set[str] = set()
    for i, task in enumerate(ordered):
        able = [other for other in ordered[i:] if set(other.needs) <= done]
        if task not in able or any(CLASS[other.effect] < CLASS[task.effect] for other in able):
            return False
        done.add(task.name)
    return True


def random_tasks(random: Random, count: int, *, tree: bool, effects: bool) -> list[Task]:
    """Steps that wait for earlier ones; in a tree each is needed by one other at most."""
    needs: list[set[str]] = [set() for _ in range(count)]
    for i in range(count):
        later = [j for j in range(i + 1, count) if random.random() < 0.5]
        for j in later[:1] if tree else later[:2]:
            needs[j].add(f"s{i}")
    return [
        Task(
            f"s{i}",
            random.choice(["read", "read", "write", "irreversible"]) if effects else "read",
            random.randrange(1, 1000),
            random.choice([0.3, 0.5, 0.9, 0.99, 1.0]),
            frozenset(needs[i]),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("tree", [False, True])
def test_no_allowed_order_wastes_less(tree: bool, effects: bool) -> None:
    for seed in range(60):
        random = Random(seed)
        tasks = random_tasks(random, random.randrange(2, EXACT + 1), tree=tree, effects=effects)
        found = order(tasks)
        assert allowed(tuple(found))
        best = min(expected_waste(list(other)) for other in permutations(tasks) if allowed(other))
        assert math.isclose(expected_waste(found), best, rel_tol=1e-9, abs_tol=1e-9), seed


def test_trees_are_put_in_order_exactly_beyond_what_can_be_tried() -> None:
    for seed in range(6):
        tasks = random_tasks(Random(seed), 7, tree=True, effects=False)
        found = order(tasks)
        best = min(expected_waste(list(other)) for other in permutations(tasks) if allowed(other))
        assert math.isclose(expected_waste(found), best, rel_tol=1e-9, abs_tol=1e-9), seed


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(2, 14), st.booleans())
def test_large_orders_keep_the_rule(random: Random, count: int, tree: bool) -> None:
    tasks = random_tasks(random, count, tree=tree, effects=True)
    found = order(tasks)
    assert allowed(tuple(found))
    random.shuffle(tasks)
    assert order(tasks) == found


def test_the_likelier_to_fail_goes_before_the_dearer() -> None:
    tasks = [Task("dear", "read", 900, 0.99, frozenset()), Task("shaky", "read", 100, 0.5, frozenset())]
    assert [task.name for task in order(tasks)] == ["shaky", "dear"]


def test_writes_wait_for_reads_and_irreversible_steps_for_all() -> None:
    tasks = [
        Task("book", "write", 1, 0.9, frozenset()),
        Task("look", "read", 1, 0.9, frozenset()),
        Task("pay", "irreversible", 1, 0.9, frozenset({"book"})),
        Task("post", "irreversible", 1, 0.9, frozenset()),
        Task("confirm", "read", 1, 0.9, frozenset({"book"})),
        Task("reserve", "write", 2, 0.9, frozenset()),
    ]
    ordered = order(tasks)
    assert [task.name for task in ordered] == ["look", "book", "confirm", "reserve", "pay", "post"]
    after = waits(ordered)
    assert after["look"] == ()
    assert after["book"] == ("look",)
    assert after["confirm"] == ("book",)
    assert after["reserve"] == ("confirm",)
    assert after["pay"] == ("book", "reserve")
    assert after["post"] == ("pay",)


def test_what_is_running_comes_first_and_waits_for_nobody() -> None:
    tasks = [
        Task("look", "read", 1, 0.9, frozenset()),
        Task("sent", "write", 0, 0.9, frozenset(), started=True),
    ]
    ordered = order(tasks)
    assert [task.name for task in ordered] == ["sent", "look"]
    assert waits(ordered)["sent"] == ()
