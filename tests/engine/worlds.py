"""Random worlds: graphs of tools, some of which fail, made from one number; and what must hold of every run in them."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from orchestrator import (
    CallerError,
    Goal,
    Orchestrator,
    Outcome,
    Policy,
    RateLimited,
    Refused,
    Status,
    Tool,
    Unavailable,
)
from orchestrator.core.enums import ANSWERING, DecisionKind, FailureKind
from orchestrator.core.policy import Retries

FAULTS = ("down", "refuses", "caller", "times_out", "limited", "bug", "flaky", "ensure")
LASTING = frozenset(FAULTS) - {"flaky"}
"""Faults that no retry heals."""
QUICK = Policy(
    name="quick", retries=Retries(base_seconds=0, attempts=2, share=1, floor=10_000), max_impasses=20, timeout=30
)


@dataclass
class Spec:
    """One tool of a world."""

    name: str
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    cost: float
    fault: str | None = None
    write: bool = False
    turns: int = 1
    """Turns of the event loop that a call takes."""


@dataclass
class World:
    """Tools, transitions, a goal; and a log of what really happened."""

    seed: int
    specs: list[Spec]
    edges: list[tuple[str, str, float]]
    provided: tuple[str, ...]
    goal: Goal[Any]
    calls: list[str] = field(default_factory=list[str])
    standing: Counter[str] = field(default_factory=Counter[str])
    """Writes done and not undone, by tool."""
    done: Counter[str] = field(default_factory=Counter[str])
    givers: dict[str, Spec] = field(default_factory=dict[str, Spec])
    """Key -> the tool that gave it first."""

    def tools(self, order: Random | None = None) -> list[Tool]:
        """The tools, in an order of their own when one is given."""
        specs = list(self.specs)
        if order is not None:
            order.shuffle(specs)
        return [self._tool(spec) for spec in specs]

    def _tool(self, spec: Spec) -> Tool:
        async def call(**inputs: Any) -> Any:
            self.calls.append(spec.name)
            for _ in range(spec.turns):
                await asyncio.sleep(0)
            self._fail(spec)
            self.done[spec.name] += 1
            for key in spec.gives if spec.fault != "ensure" else ():
                self.givers.setdefault(key, spec)
            if spec.write:
                self.standing[spec.name] += 1
            made = {key: 1 + sum(inputs.values()) for key in spec.gives}
            return made if len(made) > 1 else next(iter(made.values()))

        def undo(output: Any) -> None:
            del output
            self.standing[spec.name] -= 1

        options: Any = {
            "name": spec.name,
            "needs": spec.needs,
            "gives": dict.fromkeys(spec.gives, int),
            "cost": spec.cost,
        }
        if spec.write:
            options |= {"effect": "write", "compensate": undo, "undo_cost": spec.cost / 2}
        if spec.fault == "ensure":
            options["ensure"] = lambda output: False
        return Tool(call, **options)

    def _fail(self, spec: Spec) -> None:
        match spec.fault:
            case "down":
                raise Unavailable("down")
            case "refuses":
                raise Refused("no")
            case "caller":
                raise CallerError("bad arguments")
            case "limited":
                raise RateLimited(retry_after=1000)
            case "times_out" if not spec.write:
                raise TimeoutError("late")
            case "bug" if not spec.write:
                raise KeyError("oops")
            case "flaky" if self.calls.count(spec.name) == 1 and not spec.write:
                raise TimeoutError("once")
            case _:
                return

    def broken(self, spec: Spec) -> bool:
        """Whether the tool can never give anything in this world."""
        if spec.fault in ("times_out", "bug") and spec.write:
            return False
        return spec.fault in LASTING

    def reachable(self) -> set[str]:
        """Every key that working tools can give: brute force, to a fixed point."""
        keys, done = set(self.provided), set[str]()
        gated = {target for _, target, _ in self.edges}
        provided_tools = {s.name for s in self.specs if set(s.gives) & set(self.provided)}
        grown = True
        while grown:
            grown = False
            for spec in self.specs:
                if spec.name in done or self.broken(spec) or not set(spec.needs) <= keys:
                    continue
                sources = {a for a, b, _ in self.edges if b == spec.name}
                if spec.name in gated and not sources & (done | provided_tools | {"START"}):
                    continue
                done.add(spec.name)
                keys |= set(spec.gives)
                grown = True
        return keys

    def ground_of(self, keys: tuple[str, ...]) -> set[str]:
        """The tools that the values of these keys were made by, as far as needs tell."""
        used, waiting = set[str](), [key for key in keys if key not in self.provided]
        while waiting:
            spec = self.givers[waiting.pop()]
            if spec.name not in used:
                used.add(spec.name)
                waiting += [key for key in spec.needs if key not in self.provided]
        return used

    def orchestrator(self, order: Random | None = None, **options: Any) -> Orchestrator:
        """An orchestrator over this world."""
        orc = Orchestrator(self.tools(order), policy=options.pop("policy", QUICK), **options)
        edges = list(self.edges)
        if order is not None:
            order.shuffle(edges)
        for a, b, cost in edges:
            orc.connect(a, b, cost)
        return orc


def make_world(seed: int, *, writes: bool = True, faults: float = 0.35) -> World:
    """A world from one number."""
    rng = Random(seed)
    keys = [f"k{n}" for n in range(rng.randint(2, 8))]
    provided = tuple(rng.sample(keys, rng.randint(0, 2))) if len(keys) > 3 else ()
    specs = list[Spec]()
    for n in range(rng.randint(2, 14)):
        gives = tuple(rng.sample(keys, 2 if rng.random() < 0.15 and len(keys) > 2 else 1))
        others = [key for key in keys if key not in gives]
        needs = tuple(rng.sample(others, min(len(others), rng.choice((0, 0, 1, 1, 1, 2, 3)))))
        fault = rng.choice(FAULTS) if rng.random() < faults else None
        write = writes and rng.random() < 0.25
        if write and fault in ("ensure", "times_out", "bug", "flaky"):
            fault = "down"
        specs.append(Spec(f"t{n}", needs, gives, rng.randint(0, 9) / 100, fault, write, rng.choice((1, 1, 2, 20))))
    edges = list[tuple[str, str, float]]()
    if rng.random() < 0.3:
        names = [spec.name for spec in specs]
        for _ in range(rng.randint(1, 5)):
            a, b = rng.choice([*names, "START"]), rng.choice(names)
            if a != b and not any(e[:2] == (a, b) for e in edges):
                edges.append((a, b, rng.randint(0, 5) / 100))
    wanted = rng.choice(keys)
    lesser = [key for key in rng.sample(keys, min(2, len(keys))) if key != wanted] if rng.random() < 0.5 else []
    known = {key for spec in specs for key in (*spec.gives, *spec.needs)} | set(provided)
    wanted = wanted if wanted in known else sorted(known)[0]
    return World(
        seed, specs, edges, provided, Goal(wanted, demotions=[k for k in lesser if k in known and k != wanted])
    )


async def run(world: World, orc: Orchestrator) -> Outcome[Any]:
    """Run the world's goal. What nothing takes is not provided: that is an error."""
    taken = orc.graph.view().keys | {*world.goal.keys, *(key for lesser in world.goal.demotions for key in lesser.keys)}
    return await orc.run(world.goal, {key: 1 for key in world.provided if key in taken})


def check(world: World, outcome: Outcome[Any]) -> None:
    """The promises that can be read off an outcome and the world's own log."""
    check_ending(world, outcome)
    check_answers(outcome)
    check_work(world, outcome)
    check_effects(world, outcome)


def check_ending(world: World, outcome: Outcome[Any]) -> None:
    """The goal is reached if and only if working tools lead to it; a lesser one only when it is not."""
    keys = world.reachable()
    wanted = set(world.goal.keys) <= keys
    lesser = next((goal for goal in world.goal.demotions if set(goal.keys) <= keys), None)
    expected = Status.REACHED if wanted else Status.DEMOTED if lesser else Status.ESCALATED
    assert outcome.status is expected, (world.seed, outcome.status, expected)
    assert outcome.llm_calls == 0
    if lesser and not wanted:
        assert outcome.goal.keys == lesser.keys
    if expected is Status.ESCALATED:
        assert outcome.impasse is not None
        assert outcome.impasse.message


def check_answers(outcome: Outcome[Any]) -> None:
    """Promise 1: every failure is answered by exactly one decision of an answering kind."""
    answers = Counter(a for d in outcome.decisions if d.kind in ANSWERING for a in d.answers)
    assert answers == Counter(f.id for f in outcome.failures), (outcome.run_id, answers)
    assert not [d for d in outcome.decisions if d.answers and d.kind not in ANSWERING]


def check_work(world: World, outcome: Outcome[Any]) -> None:
    """Promise 3: what succeeded does not run again; what was given up is not tried again."""
    assert all(count == 1 for count in world.done.values() if count), (world.seed, world.done)
    broken_calls = Counter(call.tool for call in outcome.calls if call.error)
    for spec in world.specs:
        assert broken_calls[spec.name] <= QUICK.retries.attempts + 1
    retried = [d.subject for d in outcome.decisions if d.kind is DecisionKind.RETRY]
    kinds = {f.tool: f.kind for f in outcome.failures}
    assert all(kinds[name or ""] is FailureKind.TRANSIENT for name in retried)


def check_effects(world: World, outcome: Outcome[Any]) -> None:
    """Promise 5: a write that the outcome does not use is undone, and one that it is made of stands, once."""
    used = world.ground_of(outcome.goal.keys) if outcome.ok else set[str]()
    kept = {call.tool for call in outcome.calls if not call.error} - set(outcome.compensated)
    for spec in world.specs:
        if spec.write:
            stands = world.standing[spec.name]
            assert stands in (0, 1), (world.seed, spec.name, stands)
            assert stands or spec.name not in used, (world.seed, spec.name, "was undone although it is used")
            assert not stands or (outcome.ok and spec.name in kept), (world.seed, spec.name, "stands unused")
    assert not outcome.uncompensated, (world.seed, outcome.uncompensated)
