"""Random teams, to be run: agents who are explored, learned about and constrained, whose demands are declared, follow
from values that come to be known later, or are inferred from texts; reads, writes and transitions among them."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from orchestrator import Agent, DecisionKind, Goal, Orchestrator, Outcome, Refused, Tool, Unavailable
from orchestrator.core.policy import CircuitPolicy, Policy, Retries
from orchestrator.errors import DefinitionError, InputError
from orchestrator.selection import Constraints, Exploration, Handbook, Selector, Skill
from orchestrator.testing import FakeClock

KEYS = tuple(f"k{n}" for n in range(5))
SKILLS = Handbook.of(
    [
        Skill(id="translate", indicators=("translate", "into German"), examples=("How do you say hello in Italian?",)),
        Skill(id="sums", indicators=("percent", "how many"), examples=("What is 17 times 23?",)),
        Skill(id="code", indicators=("function", "Python"), examples=("Write a function that sorts a list.",)),
    ]
)
TEXTS = (
    "How do you say rain in Dutch?",
    "How many percent is that?",
    "Translate this into German.",
    "Write a Python function.",
    "zzz",
)
FAULTS: tuple[Callable[[], Exception], ...] = (
    lambda: Unavailable("down"),
    lambda: Refused("no"),
    lambda: ConnectionResetError("reset"),
    lambda: ValueError("bug"),
)


def random_member(random: Random, name: str, key: str, before: tuple[str, ...]) -> Tool:
    """A tool or an agent that gives `key`; most work, some in a thread, some fail now and then."""
    draws, says = Random(random.random()), random.choice(TEXTS)
    fault, share = random.choice(FAULTS), random.choice([0.0, 0.0, 0.2, 0.6])

    def work(**inputs: str) -> str:
        del inputs
        if draws.random() < share:
            raise fault()
        return says

    async def later(**inputs: str) -> str:
        await asyncio.sleep(0)
        return work(**inputs)

    needs = random.sample(before, min(len(before), random.choice([0, 1, 1, 2])))
    options: dict[str, Any] = {
        "name": name,
        "needs": {f"p{each}": each for each in needs},
        "gives": {key: str},
        "cost": random.choice([0, 1, 2, 5]) / 1000,
        "latency": random.choice([0.0, 0.5]),
    }
    call = random.choice([work, later])
    if random.random() < 0.3:
        options["retries"] = random.choice([0, 1])
    if random.random() < 0.2:
        options |= {"effect": "write", "compensate": lambda output: None, "undo_cost": 0.001}
    if random.random() < 0.65:
        skills = {skill: round(random.random(), 2) for skill in random.sample(["translate", "sums", "code"], 2)}
        trust = random.choice(["local", "eu", "us"])
        return Agent(call, skills=skills, trust=trust, data_leaves=random.random() < 0.3, **options)
    return Tool(call, **options)


def random_team(random: Random) -> Orchestrator:
    """An orchestrator over a random team."""
    explore = Exploration("ucb", seed=random.randrange(100), width=random.choice([1.0, 2.0]))
    policy = Policy(
        name="team",
        quality_value=random.choice([0.01, 0.05, 0.5]),
        retries=Retries(attempts=random.choice([0, 1])),
        circuit=CircuitPolicy(consecutive=random.choice([1, 3])),
        max_impasses=random.choice([1, 3]),
    )
    selector = Selector(
        policy=policy,
        handbook=SKILLS,
        exploration=explore if random.random() < 0.6 else None,
        constraints=_constraints(random) if random.random() < 0.15 else Constraints(),
    )
    made = Orchestrator(policy=policy, selector=selector, clock=FakeClock())
    number = 0
    for place, key in enumerate(KEYS):
        for _ in range(random.choice([1, 2, 3])):
            made.add(random_member(random, f"t{number}", key, KEYS[:place]))
            number += 1
    if random.random() < 0.2:
        a, b = random.sample(range(number), 2)
        made.connect(f"t{a}", f"t{b}", cost=0.001)
    for key in KEYS:
        _demand(random, made, key)
    return made


def _demand(random: Random, made: Orchestrator, key: str) -> None:
    other = random.choice(KEYS)

    def by_value(values: Mapping[str, Any]) -> dict[str, float]:
        return {"translate": 1.0} if "in" in str(values[other]) else {"sums": 0.5, "code": 0.5}

    how = random.random() if made.graph.view().producers(key) else 1.0
    if how < 0.25:
        made.require_skills(key, {"translate": 0.5, "sums": 0.5})
    elif how < 0.5 and other != key:
        made.require_skills(key, by_value)


def _constraints(random: Random) -> Constraints:
    return Constraints(
        trust=random.choice([None, ("local", "eu")]),
        data_may_leave=random.random() < 0.7,
        max_cost=random.choice([None, 0.002]),
    )


async def random_job(random: Random, made: Orchestrator) -> Outcome[Any] | None:
    """Run a random goal under a random dial and constraints, with feedback; `None` where none can be asked for."""
    wanted, *lesser = random.sample(KEYS, random.choice([1, 1, 2]))
    given = {key: random.choice(TEXTS) for key in random.sample(KEYS, random.choice([0, 1, 1])) if key != wanted}
    dial = random.choice([None, None, 0.0, 0.3, 0.8, 1.0])
    constraints = _constraints(random) if random.random() < 0.4 else None
    try:
        outcome = await made.run(Goal(wanted, demotions=lesser), given, dial=dial, constraints=constraints)
    except (DefinitionError, InputError):
        return None
    chosen = {decision.chosen for decision in outcome.decisions if decision.kind is DecisionKind.SELECT}
    if outcome.ok and random.random() < 0.5 and chosen & set(outcome.route.tools if outcome.route else ()):
        with contextlib.suppress(InputError):  # another agent's work, or a plain tool's
            made.feedback(outcome.run_id, outcome.goal.keys[0], success=random.random() < 0.5)
    return outcome
