"""Worlds whose tools fail by a schedule, on a virtual clock, all made from one number; several runs share their health.

A tool fails the first times, hangs, is slow, answers nonsense, flaps, is rate-limited, refuses, recovers in the middle,
or loses its answer after the effect took place; a compensation fails the first times, or always.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

from orchestrator import (
    NOT_DONE,
    Event,
    Goal,
    Orchestrator,
    Outcome,
    Policy,
    RateLimited,
    Refused,
    RunContext,
    Tool,
    Unavailable,
)
from orchestrator.core.enums import Effect, Status
from orchestrator.core.policy import CircuitPolicy, Retries
from orchestrator.testing import FakeClock
from tests.engine.story import SECRET, Shape, Story

SCHEDULES = ("fail", "hang", "slow", "corrupt", "flap", "limit", "refuse", "recover", "lose")
Knows = Literal["yes", "no", ""]
Undo = Literal["works", "fails once", "never", ""]
KNOWS: tuple[Knows, ...] = ("yes", "yes", "no", "")
RUNS = 4
"""Of each world."""


def policy(consecutive: int) -> Policy:
    """One that lets health matter within a few runs."""
    return Policy(
        name="timed",
        retries=Retries(base_seconds=0.1, attempts=2, share=1, floor=10_000),
        circuit=CircuitPolicy(consecutive=consecutive, open_seconds=5, ramp_seconds=5),
        max_impasses=20,
        timeout=10,
    )


@dataclass(frozen=True)
class Spec:
    """One tool, and what goes wrong with it."""

    name: str
    shape: Shape
    cost: float
    seconds: float
    """That a call takes."""
    schedule: str | None = None
    times: int = 1
    period: float = 3.0
    knows: Knows = ""
    """Whether `reconcile` can tell; empty: there is none."""
    undo: Undo = ""
    """What compensation does; empty: there is none."""


@dataclass
class Reality:
    """What really happened in one run."""

    calls: Counter[str] = field(default_factory=Counter[str])
    standing: Counter[str] = field(default_factory=Counter[str])
    """Effects by tool, those undone taken off."""
    seen: set[str] = field(default_factory=set[str])
    """Idempotency keys."""
    undoings: Counter[str] = field(default_factory=Counter[str])


@dataclass
class Timed:
    """Tools under schedules, a goal, and a log of what really happened, by run."""

    seed: int
    specs: list[Spec]
    goal: Goal[Any]
    edges: list[tuple[str, str, float]]
    policy: Policy
    clock: FakeClock = field(default_factory=FakeClock)
    log: dict[str, Reality] = field(default_factory=dict[str, Reality])
    events: dict[str, list[Event]] = field(default_factory=dict[str, list[Event]])
    orc: Orchestrator | None = None

    def on_event(self, event: Event) -> None:
        """Keep the record."""
        self.events.setdefault(event.run_id, []).append(event)

    def tools(self) -> list[Tool]:
        """The tools."""
        return [self._tool(spec) for spec in self.specs]

    def _tool(self, spec: Spec) -> Tool:
        async def call(ctx: RunContext[Any], key: str = "", **inputs: str) -> Any:
            real = self.log.setdefault(ctx.run_id, Reality())
            real.calls[spec.name] += 1
            number, writes = real.calls[spec.name], spec.shape.effect is not Effect.READ
            await self.clock.sleep(spec.seconds)
            nonsense = await self._suffer(spec, number)
            if writes and not (key and key in real.seen):
                real.standing[spec.name] += 1
                real.seen.add(key)
            if spec.schedule == "lose" and number <= spec.times:
                raise ConnectionResetError("the answer was lost")
            made: dict[str, Any] = dict.fromkeys(spec.shape.gives, 7 if nonsense else f"{SECRET} {spec.name}")
            return made if len(made) > 1 else next(iter(made.values()))

        return Tool(call, **self._options(spec))

    async def _suffer(self, spec: Spec, number: int) -> bool:
        """What goes wrong before anything took place; True when its answer will be nonsense."""
        early, now = number <= spec.times, self.clock.monotonic()
        match spec.schedule:
            case "fail" if early:
                raise Unavailable("not yet")
            case "hang" if early:
                await self.clock.sleep(3600)
            case "slow":
                await self.clock.sleep(spec.period)
            case "flap" if int(now / spec.period) % 2:
                raise Unavailable("it flaps")
            case "limit" if early:
                raise RateLimited(retry_after=spec.period * 10 ** (spec.times - 1))
            case "refuse":
                raise Refused("no")
            case "recover" if now < 4 * spec.period:
                raise Unavailable("it is down until later")
            case _:
                pass
        return spec.schedule == "corrupt" and early

    def _options(self, spec: Spec) -> dict[str, Any]:
        shape = spec.shape
        options: dict[str, Any] = {
            "name": spec.name,
            "needs": shape.needs,
            "gives": dict.fromkeys(shape.gives, str),
            "cost": spec.cost,
            "timeout": 8,
            "effect": shape.effect,
        }
        if shape.keyed:
            options["idempotency_key"] = "key"
        if spec.knows:
            options["reconcile"] = self._reconcile(spec)
        if spec.undo:
            options |= {"compensate": self._undo(spec), "undo_cost": shape.undo_cost}
        return options

    def _reconcile(self, spec: Spec) -> Any:
        async def reconcile(ctx: RunContext[Any]) -> Any:
            if spec.knows == "no":
                raise ConnectionError("nobody knows")
            made = dict.fromkeys(spec.shape.gives, f"{SECRET} {spec.name}")
            happened = self.log.setdefault(ctx.run_id, Reality()).standing[spec.name] > 0
            return (made if len(made) > 1 else next(iter(made.values()))) if happened else NOT_DONE

        return reconcile

    def _undo(self, spec: Spec) -> Any:
        async def undo(output: Any, ctx: RunContext[Any]) -> None:
            real = self.log[ctx.run_id]
            real.undoings[spec.name] += 1
            if spec.undo == "never" or (spec.undo == "fails once" and real.undoings[spec.name] == 1):
                raise ConnectionError("it cannot be undone now")
            real.standing[spec.name] -= 1

        return undo

    async def outcomes(self) -> list[Outcome[Any]]:
        """Run the goal several times, two at a time, with a pause between."""
        orc = Orchestrator(self.tools(), policy=self.policy, clock=self.clock, monitors=())
        orc._runtime.draws.seed(self.seed)  # pyright: ignore[reportPrivateUsage]
        orc.add_sink(self)
        for a, b, cost in self.edges:
            orc.connect(a, b, cost)
        found: list[Outcome[Any]] = []
        async with orc:
            for first in range(0, RUNS, 2):
                found += await asyncio.gather(*(orc.run(self.goal, run_id=f"run{first + n}") for n in range(2)))
                await self.clock.sleep(3)
        self.orc = orc
        return found

    def check_ledger(self, outcome: Outcome[Any]) -> None:
        """The ledger is whole, and every decision of it comes out as recorded when it is made again."""
        assert self.orc is not None
        assert self.orc.verify(outcome.run_id).ok
        differences = [str(difference) for difference in self.orc.replay(outcome.run_id).differences]
        assert not differences, (self.seed, differences)

    def check(self, outcome: Outcome[Any]) -> None:
        """The promises by the record, and the record by what really happened."""
        shapes = {spec.name: spec.shape for spec in self.specs}
        story = Story(self.events[outcome.run_id], shapes, [(a, b) for a, b, _ in self.edges])
        story.check(self.policy)
        real = self.log.get(outcome.run_id, Reality())
        reached = outcome.status in (Status.REACHED, Status.DEMOTED)
        used = story.used(outcome.goal.keys) if reached else set[str]()
        for spec in self.specs:
            if spec.shape.effect is Effect.READ:
                continue
            stands = real.standing[spec.name]
            assert stands in (0, 1), ("an effect was doubled or undone twice", spec.name, stands)
            told = spec.name in used or spec.name in outcome.uncompensated
            assert not stands or told, ("an effect stands and nobody says so", spec.name)
            certain = spec.name in used and spec.name not in outcome.uncompensated
            assert stands or not certain, ("an effect was lost", spec.name)


def make_timed(seed: int) -> Timed:
    """A world from one number: most are chains, in which what comes late fails after effects took place early."""
    rng = Random(seed)
    keys = [f"k{n}" for n in range(rng.randint(2, 6))]
    if rng.random() < 0.7:
        places = [(keys[n], keys[:n]) for n in range(len(keys)) for _ in range(rng.choice((1, 2, 2, 3)))]
        goal = Goal(keys[-1], demotions=rng.sample(keys[:-1], rng.choice((0, 0, 1))))
    else:
        places = [(key, [k for k in keys if k != key]) for key in rng.choices(keys, k=rng.randint(3, 11))]
        wanted, *lesser = rng.sample(sorted({key for key, _ in places}), 1)
        goal = Goal(wanted, demotions=lesser)
    specs = [_spec(rng, f"t{n}", key, before) for n, (key, before) in enumerate(places)]
    hopeless = rng.choice([goal.keys[0], goal.keys[0], *keys])
    if rng.random() < 0.5:
        specs = [_greedy(rng, spec, keys) if spec.shape.gives[0] == goal.keys[0] else spec for spec in specs]
        specs = [_doomed(spec) if spec.shape.gives[0] == hopeless else spec for spec in specs]
    return Timed(seed, specs, goal, _edges(rng, [spec.name for spec in specs]), policy(rng.choice((1, 2, 5))))


def _greedy(rng: Random, spec: Spec, keys: list[str]) -> Spec:
    """A last step that needs much: what was done for it is undone, or told, when it cannot be produced."""
    others = [key for key in keys if key not in spec.shape.gives]
    return replace(spec, shape=replace(spec.shape, needs=tuple(rng.sample(others, min(len(others), 3)))))


def _doomed(spec: Spec) -> Spec:
    """A step that never works, and says so at once."""
    shape = replace(spec.shape, effect=Effect.READ, undo_cost=0.0, keyed=False)
    return replace(spec, shape=shape, schedule="refuse", seconds=0.0, knows="", undo="")


def _edges(rng: Random, names: list[str]) -> list[tuple[str, str, float]]:
    if rng.random() < 0.8:
        return []
    pairs = [(rng.choice([*names, "START"]), rng.choice(names)) for _ in range(rng.randint(1, 3))]
    return [(a, b, rng.randint(0, 5) / 100) for a, b in sorted(set(pairs)) if a != b]


def _spec(rng: Random, name: str, key: str, before: list[str]) -> Spec:
    effect = rng.choices((Effect.READ, Effect.WRITE, Effect.IRREVERSIBLE), (50, 42, 8))[0]
    writes = effect is not Effect.READ
    undo: Undo = rng.choice(("works", "works", "fails once", "never", "never", "")) if effect is Effect.WRITE else ""
    more = [f"{key}b"] if rng.random() < 0.1 else []
    return Spec(
        name,
        Shape(
            needs=tuple(rng.sample(before, min(len(before), rng.choice((0, 1, 1, 1, 2))))),
            gives=(key, *more),
            effect=effect,
            undo_cost=rng.randint(0, 5) / 100 if undo else 0.0,
            keyed=writes and rng.random() < 0.3,
        ),
        cost=rng.randint(0, 9) / 100,
        seconds=rng.choice((0.0, 0.1, 1.0, 2.5)),
        schedule=rng.choice(SCHEDULES) if rng.random() < 0.6 else None,
        times=rng.randint(1, 4),
        period=rng.choice((0.5, 3.0, 6.0)),
        knows=rng.choice(KNOWS) if writes else "",
        undo=undo,
    )


async def run_and_check(seed: int, *, ledger: bool = True) -> None:
    """One world from its number to its last check."""
    world = make_timed(seed)
    for outcome in await world.outcomes():
        world.check(outcome)
        if ledger:
            world.check_ledger(outcome)
