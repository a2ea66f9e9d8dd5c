"""The world of a random run tree: its tools, what they did outside, and what must not happen there."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from orchestrator import NOT_DONE, Escalated, Goal, Policy, Refused, RunContext, Tool
from orchestrator.core.outcome import Outcome as Ended
from orchestrator.core.policy import Retries
from orchestrator.testing import FakeClock

DEPTH = 3
LEAVES = ("w", "p", "q", "a", "l", "k", "e")
"""Goals at the bottom: a write, a paid read, a question, an approved write, a write whose answer is lost, a write whose
cost is unknown, a read with conditions that raise."""
WRITES = ("write", "approved", "lossy", "unpriced")
POLICY = Policy(name="trees", retries=Retries(base_seconds=0.1, attempts=1, share=1, floor=10_000))
WAYS = ("gather", "gather", "one by one", "one by one", "all", "group", "timed", "left", "keyed")
"""How a parent reaches for children."""


@dataclass
class World:
    """What the tools do outside, and how a random tree is made."""

    seed: int
    clock: FakeClock = field(default_factory=FakeClock)
    made: Counter[str] = field(default_factory=Counter[str])
    """Effects that took place, by what they are."""
    undone: Counter[str] = field(default_factory=Counter[str])
    begun: int = 0
    """Calls of tools that have begun."""
    spent: float = 0.0
    approved: Counter[str] = field(default_factory=Counter[str])
    """Runs in which a person approved the write -> how often."""
    stopped: bool = False
    """Whether a cancellation has reached the whole tree: nothing may begin any more."""
    ended: bool = False
    wrong: list[str] = field(default_factory=list[str])
    """What happened that must not happen."""
    once: Counter[str] = field(default_factory=Counter[str])
    deadline: float | None = None
    """After which nothing may begin; `None` without one, and once a person was asked."""
    awaited: Counter[str] = field(default_factory=Counter[str])
    """Questions whose answers calls await."""
    took_place: dict[str, str] = field(default_factory=dict[str, str])
    """Runs whose write took place although its answer may be lost -> what it gave."""
    settled: set[str] = field(default_factory=set[str])
    """Runs of which a person said so."""
    discarded: set[str] = field(default_factory=set[str])
    """Child runs whose effects are not used."""
    writes: tuple[str, ...] = WRITES
    """Tools with effects."""
    leaves: tuple[str, ...] = LEAVES
    """Goals that parents reach for, beside the parents below."""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def chance(self, share: float) -> bool:
        """True so often."""
        return self.random.random() < share

    def begin(self, what: str) -> None:
        """A call of a tool begins."""
        self.begun += 1
        if self.ended or self.stopped:
            self.wrong.append(f"{what} began after the {'end' if self.ended else 'cancellation'}")
        if self.deadline is not None and self.clock.monotonic() > self.deadline + 0.1:
            self.wrong.append(f"{what} began after the deadline")

    def note(self, what: str) -> None:
        """Something happened outside."""
        if self.ended:
            self.wrong.append(f"{what} after the end")

    def pay(self, ctx: RunContext, usd: float) -> None:
        """The call costs this much."""
        ctx.charge(usd)
        self.spent += usd

    async def effect(self, what: str) -> str:
        """An effect that takes a while; it is left to finish."""
        try:
            await self.clock.sleep(self.random.random())
        except asyncio.CancelledError:
            self.wrong.append(f"{what} was cut off")
            raise
        self.note(what)
        self.made[what] += 1
        return what

    # -- what other worlds have otherwise ----------------------------------------------------------------------------

    def goal(self, name: str) -> str | Goal[Any]:
        """A goal that a parent reaches for, and the root's."""
        return name

    def parent_options(self, level: int) -> dict[str, Any]:
        """Options of the tool that is the parent at this level."""
        if level == 2 and self.seed % 2:
            # a call that is left to finish when its run is cancelled, and its children end
            return {"effect": "write", "reconcile": lambda: NOT_DONE}
        return {}

    def options(self) -> dict[str, Any]:
        """Options of the orchestrator."""
        return {"policy": POLICY}

    def resolution(self, question: Any) -> Any:
        """What a person answers at an impasse."""
        return "no"

    # -- tools -------------------------------------------------------------------------------------------------------

    def tools(self) -> list[Tool]:
        """One level of parents above another, over the leaves."""
        leaves = [self._write(), self._paid(), self._question(), self._approved(), self._lossy(), self._unpriced()]
        return [*leaves, *self._conditional(), *(self._parent(level) for level in range(1, DEPTH + 1))]

    def _undo(self, fails: float) -> Callable[[str], Awaitable[None]]:
        async def undo(output: str) -> None:
            self.note("undo")
            if self.chance(fails):
                raise RuntimeError("it cannot be undone")
            self.undone[output] += 1

        return undo

    def _write(self) -> Tool:
        async def write(n: int) -> str:
            self.begin("write")
            return await self.effect(f"w{n}")

        return Tool(write, gives="w", effect="write", compensate=self._undo(0.0))

    def _paid(self) -> Tool:
        async def paid(n: int, ctx: RunContext) -> int:
            self.begin("paid")
            await self.clock.sleep(self.random.random())
            self.note("paid")
            self.pay(ctx, 0.1)
            if self.chance(0.2):
                raise Refused("no")
            return n

        return Tool(paid, gives="p")

    def _question(self) -> Tool:
        async def question(n: int, ctx: RunContext) -> str:
            self.begin("question")
            found = ""
            for number in range(self.random.randint(1, 2)):
                text = f"{ctx.run_id} {number}?"
                asked = self._asked(ctx, text)
                try:
                    found = await (self.clock.wait_for(asked, 2.0) if self.chance(0.3) else asked)
                except TimeoutError:
                    continue
                if found != f"answer to {text}":
                    self.wrong.append(f"{text} was answered by {found!r}")
            return found

        return Tool(question, gives="q")

    async def _asked(self, ctx: RunContext, text: str) -> Any:
        self.awaited[text] += 1
        self.deadline = None  # a person's seconds do not count
        try:
            return await ctx.wait(text, str)
        finally:
            self.awaited[text] -= 1

    def _approved(self) -> Tool:
        def rule(n: int) -> bool:
            self.deadline = None
            if n % 7 == 3:
                raise RuntimeError("the rule is broken")
            return True

        async def approved(n: int, ctx: RunContext) -> str:
            self.begin("approved")
            if not self.approved[ctx.run_id]:
                self.wrong.append(f"{ctx.run_id} wrote without approval")
            return await self.effect(f"a{n}")

        return Tool(approved, gives="a", effect="write", compensate=self._undo(0.3), approval=rule)

    def _lossy(self) -> Tool:
        async def lossy(n: int, ctx: RunContext) -> str:
            self.begin("lossy")
            took = self.chance(0.7)
            if took:
                await self.effect(f"l{n}")
                self.took_place[ctx.run_id] = f"l{n}"
            if not took or self.chance(0.5):
                raise ConnectionResetError("the answer was lost")
            return f"l{n}"

        async def look(n: int, ctx: RunContext) -> Any:
            if self.chance(0.2):
                raise RuntimeError("it cannot tell")
            return f"l{n}" if ctx.run_id in self.took_place else NOT_DONE

        return Tool(lossy, gives="l", effect="write", compensate=self._undo(0.0), reconcile=look)

    def _unpriced(self) -> Tool:
        def cost(usage: Any) -> float:
            return float("nan") if usage["n"] % 2 else 0.0

        async def unpriced(n: int, ctx: RunContext) -> str:
            self.begin("unpriced")
            ctx.usage["n"] += n
            return await self.effect(f"k{n}")

        return Tool(unpriced, gives="k", effect="write", compensate=self._undo(0.0), cost=cost)

    def _conditional(self) -> list[Tool]:
        def when(n: int) -> bool:
            if n % 5 == 2:
                raise RuntimeError("the condition is broken")
            return n % 2 == 0

        async def ensure(found: str) -> bool:
            if found.endswith("4"):
                raise RuntimeError("the check is broken")
            return True

        async def first(n: int) -> str:
            self.begin("first")
            return f"e{n}"

        async def second(n: int) -> str:
            self.begin("second")
            if self.chance(0.3):
                raise RuntimeError("a bug")
            return f"e{n}"

        return [Tool(first, gives="e", when=when, ensure=ensure), Tool(second, gives="e", cost=0.0)]

    # -- parents -----------------------------------------------------------------------------------------------------

    def _parent(self, level: int) -> Tool:
        below = f"g{level - 1}" if level > 1 else "w"

        async def parent(n: int, ctx: RunContext) -> int:
            self.begin(f"parent{level}")
            for step in range(self.random.randint(1, 4)):
                goals = [self.random.choice([below, below, *self.leaves]) for _ in range(self.random.randint(1, 3))]
                results = await self._reach(ctx, goals, self.random.choice([n, n * 10 + step]))
                used = [result for result in results if isinstance(result, Ended)]
                if used and self.chance(0.2):
                    await ctx.discard(used[0])
                    self.discarded.add(used[0].run_id)
                if self.chance(0.2):
                    await self._once(ctx)
            if self.chance(0.1):
                raise Refused("not this time")
            return level

        options: dict[str, Any] = {"retries": 1, **self.parent_options(level)}
        return Tool(parent, name=f"parent{level}", gives=f"g{level}", **options)

    async def _once(self, ctx: RunContext) -> None:
        def count() -> int:
            self.once[ctx.run_id] += 1
            return 1

        await ctx.once("k", count)

    async def _reach(self, ctx: RunContext, goals: list[str], n: int) -> list[Any]:
        match self.random.choice(WAYS):
            case "gather":
                return await asyncio.gather(
                    *(ctx.reach(self.goal(goal), {"n": n}) for goal in goals), return_exceptions=True
                )
            case "all":
                return list(await asyncio.gather(*(ctx.reach(self.goal(goal), {"n": n}) for goal in goals)))
            case "group":
                return await self._in_a_group(ctx, goals, n)
            case "timed":
                return [await self._timed(ctx, goals[0], n)]
            case "left":
                asyncio.ensure_future(ctx.reach(self.goal(goals[0]), {"n": n})).add_done_callback(_seen)
                await self.clock.sleep(0.3)
                return []
            case "keyed":
                wanted = self.goal(goals[0])
                key = f"{wanted if isinstance(wanted, str) else wanted.to_json()} {n}"
                both = (ctx.reach(wanted, {"n": n}, key=key) for _ in range(2))
                return await asyncio.gather(*both, return_exceptions=True)
            case _:
                return [await _checked(ctx.reach(self.goal(goal), {"n": n})) for goal in goals]

    async def _in_a_group(self, ctx: RunContext, goals: list[str], n: int) -> list[Any]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ctx.reach(self.goal(goal), {"n": n})) for goal in goals]
        except ExceptionGroup:
            return []
        return [task.result() for task in tasks]

    async def _timed(self, ctx: RunContext, goal: str, n: int) -> Any:
        try:
            return await self.clock.wait_for(
                _checked(ctx.reach(self.goal(goal), {"n": n})), self.random.choice([0.2, 1.0, 5.0])
            )
        except TimeoutError:
            return None


async def _checked(reaching: Awaitable[Any]) -> Any:
    try:
        return await reaching
    except (Escalated, Refused) as error:
        return error


def _seen(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled():
        task.exception()
