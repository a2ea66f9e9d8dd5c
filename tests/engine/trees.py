"""Random run trees on the virtual clock, and what must hold of each: read off the world outside and off the record."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from orchestrator import Budget, Escalated, Orchestrator, Outcome, Refused, RunContext, Status, Tool
from orchestrator.testing import FakeClock

DEPTH = 3


@dataclass
class World:
    """What the tools do outside, and how a random tree is made."""

    seed: int
    clock: FakeClock = field(default_factory=FakeClock)
    made: Counter[str] = field(default_factory=Counter[str])
    """Effects that took place, by what they are."""
    undone: Counter[str] = field(default_factory=Counter[str])
    spent: float = 0.0
    ended: bool = False
    late: list[str] = field(default_factory=list[str])
    """What happened after the run had ended."""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def note(self, what: str) -> None:
        """Something happened outside."""
        if self.ended:
            self.late.append(what)

    def tools(self) -> list[Tool]:
        """One level of parents above another, over writes, paid reads and reads that fail now and then."""
        return [self._write(), self._paid(), *(self._parent(level) for level in range(1, DEPTH + 1))]

    def _write(self) -> Tool:
        async def write(n: int) -> str:
            await self.clock.sleep(self.random.random())
            self.note("write")
            self.made[f"w{n}"] += 1
            return f"w{n}"

        async def undo(output: str) -> None:
            self.note("undo")
            self.undone[output] += 1

        return Tool(write, gives="w", effect="write", compensate=undo)

    def _paid(self) -> Tool:
        async def paid(n: int, ctx: RunContext) -> int:
            await self.clock.sleep(self.random.random())
            self.note("paid")
            ctx.charge(0.1)
            self.spent += 0.1
            if self.random.random() < 0.2:
                raise Refused("no")
            return n

        return Tool(paid, gives="p")

    def _parent(self, level: int) -> Tool:
        below = f"g{level - 1}" if level > 1 else "w"

        async def parent(n: int, ctx: RunContext) -> int:
            done = 0
            for step in range(self.random.randint(1, 3)):
                goals = [self.random.choice([below, "p", "w"]) for _ in range(self.random.randint(1, 3))]
                number = self.random.choice([n, n * 10 + step])
                results = await self._reach(ctx, goals, number)
                done += sum(isinstance(result, Outcome) for result in results)
                used = [result for result in results if isinstance(result, Outcome)]
                if used and self.random.random() < 0.2:
                    await ctx.discard(used[0])
            if self.random.random() < 0.25:
                raise Refused("not this time")
            return done

        return Tool(parent, name=f"parent{level}", gives=f"g{level}", retries=1)

    async def _reach(self, ctx: RunContext, goals: list[str], n: int) -> list[Any]:
        if self.random.random() < 0.5:
            calls = (ctx.reach(goal, {"n": n}) for goal in goals)
            return await asyncio.gather(*calls, return_exceptions=self.random.random() < 0.8)
        found: list[Any] = []
        for goal in goals:
            try:
                found.append(await ctx.reach(goal, {"n": n}))
            except Escalated as error:
                found.append(error)
        return found


async def drive(clock: FakeClock, task: "asyncio.Task[Any]") -> None:
    """Let virtual time pass until a task is done."""
    for _ in range(100_000):
        if task.done():
            return
        for _ in range(20):
            await asyncio.sleep(0)
        clock.advance(0.05)
    raise AssertionError("the run does not end")


async def run_tree(seed: int) -> tuple[World, Outcome[Any], Orchestrator]:
    """One random tree, some with a budget, some cancelled at a random moment."""
    world = World(seed)
    limit = world.random.choice([None, None, 0.5, 1.0])
    orc = Orchestrator(world.tools(), clock=world.clock, monitors=())
    run = orc.run(f"g{DEPTH}", {"n": 1}, run_id="tree", budget=None if limit is None else Budget(usd=limit))
    task = asyncio.ensure_future(run)
    if world.random.random() < 0.3:
        for _ in range(world.random.randint(1, 200)):
            await asyncio.sleep(0)
            world.clock.advance(0.02)
        if not task.done():
            cancelling = asyncio.ensure_future(orc.cancel("tree"))
            await drive(world.clock, cancelling)
    await drive(world.clock, task)
    world.ended = True
    for _ in range(50):
        await asyncio.sleep(0)
        world.clock.advance(0.1)
    outcome = task.result()
    check(world, outcome, orc, limit)
    return world, outcome, orc


def check(world: World, outcome: Outcome[Any], orc: Orchestrator, limit: float | None) -> None:
    """What must hold of every tree."""
    assert not world.late, f"after the end: {world.late}"
    assert outcome.status in (Status.REACHED, Status.ESCALATED)
    assert all(world.undone[what] <= world.made[what] for what in world.undone), "undone more often than done"
    assert abs(outcome.cost - world.spent) < 1e-9, f"cost {outcome.cost}, spent {world.spent}"
    if limit is not None:
        assert world.spent <= limit + 0.1 + 1e-9, "over the budget by more than a call"
    standing = sum(world.made.values()) - sum(world.undone.values())
    used = _used(outcome) if outcome.ok else 0
    assert standing <= used + len(outcome.uncompensated), f"{standing} stand, {used} used, {outcome.uncompensated}"
    if not outcome.ok:
        assert standing == len(outcome.uncompensated) == 0, "an effect stands that nothing uses"
    for row in orc.store.runs(limit=10_000):
        assert row.status.ended, f"{row.run_id} is {row.status}"
        assert orc.verify(row.run_id).ok
    assert orc.replay("tree").agrees


def _used(outcome: Outcome[Any]) -> int:
    """Effects of the tree that its record says are used, at most."""
    own = sum(call.tool == "write" and call.error is None for call in outcome.calls)
    return own + sum(_used(child) for child in outcome.children if child.ok)
