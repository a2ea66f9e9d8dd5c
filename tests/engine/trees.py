"""Random run trees on the virtual clock, and what must hold of each: read off the world outside and off the record.

A tree has parents that loop, map and nest, over writes, paid reads, questions, approvals, user functions that raise,
answers that are lost, keys, `once`, and children that are discarded. It runs under a budget of dollars, calls or
seconds, is answered by people who answer late, wrongly or no, joined by others, and cancelled at any moment.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from orchestrator import (
    NOT_DONE,
    Budget,
    Escalated,
    InputError,
    Orchestrator,
    Outcome,
    Refused,
    RunContext,
    Status,
    Tool,
)
from orchestrator.core.outcome import Outcome as Ended
from orchestrator.core.policy import Policy, Retries
from orchestrator.testing import FakeClock

DEPTH = 3
LEAVES = ("w", "p", "q", "a", "l", "k", "e")
"""Goals at the bottom: a write, a paid read, a question, an approved write, a write whose answer is lost, a write whose
cost is unknown, a read with conditions that raise."""
WRITES = ("write", "approved", "lossy", "unpriced")
ANSWERING = ("retry", "reroute", "reconcile", "compensate", "demote", "escalate", "halt")
WAYS = ("gather", "gather", "one by one", "one by one", "all", "group", "timed", "left", "keyed")
"""How a parent reaches for children."""
POLICY = Policy(name="trees", retries=Retries(base_seconds=0.1, attempts=1, share=1, floor=10_000))
TURNS = 40
"""Turns of the event loop after which a cancellation has reached every run of the tree."""


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
        took_place: set[str] = set()

        async def lossy(n: int, ctx: RunContext) -> str:
            self.begin("lossy")
            took = self.chance(0.7)
            if took:
                await self.effect(f"l{n}")
                took_place.add(ctx.run_id)
            if not took or self.chance(0.5):
                raise ConnectionResetError("the answer was lost")
            return f"l{n}"

        async def look(n: int, ctx: RunContext) -> Any:
            if self.chance(0.2):
                raise RuntimeError("it cannot tell")
            return f"l{n}" if ctx.run_id in took_place else NOT_DONE

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
                goals = [self.random.choice([below, below, *LEAVES]) for _ in range(self.random.randint(1, 3))]
                results = await self._reach(ctx, goals, self.random.choice([n, n * 10 + step]))
                used = [result for result in results if isinstance(result, Ended)]
                if used and self.chance(0.2):
                    await ctx.discard(used[0])
                if self.chance(0.2):
                    await self._once(ctx)
            if self.chance(0.1):
                raise Refused("not this time")
            return level

        if (
            level == 2 and self.seed % 2
        ):  # a call that is left to finish when its run is cancelled, and its children end
            return Tool(parent, name="parent2", gives="g2", retries=1, effect="write", reconcile=lambda: NOT_DONE)
        return Tool(parent, name=f"parent{level}", gives=f"g{level}", retries=1)

    async def _once(self, ctx: RunContext) -> None:
        def count() -> int:
            self.once[ctx.run_id] += 1
            return 1

        await ctx.once("k", count)

    async def _reach(self, ctx: RunContext, goals: list[str], n: int) -> list[Any]:
        match self.random.choice(WAYS):
            case "gather":
                return await asyncio.gather(*(ctx.reach(goal, {"n": n}) for goal in goals), return_exceptions=True)
            case "all":
                return list(await asyncio.gather(*(ctx.reach(goal, {"n": n}) for goal in goals)))
            case "group":
                return await self._in_a_group(ctx, goals, n)
            case "timed":
                return [await self._timed(ctx, goals[0], n)]
            case "left":
                asyncio.ensure_future(ctx.reach(goals[0], {"n": n})).add_done_callback(_seen)
                await self.clock.sleep(0.3)
                return []
            case "keyed":
                both = (ctx.reach(goals[0], {"n": n}, key=f"{goals[0]} {n}") for _ in range(2))
                return await asyncio.gather(*both, return_exceptions=True)
            case _:
                return [await _checked(ctx.reach(goal, {"n": n})) for goal in goals]

    async def _in_a_group(self, ctx: RunContext, goals: list[str], n: int) -> list[Any]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ctx.reach(goal, {"n": n})) for goal in goals]
        except ExceptionGroup:
            return []
        return [task.result() for task in tasks]

    async def _timed(self, ctx: RunContext, goal: str, n: int) -> Any:
        try:
            return await self.clock.wait_for(_checked(ctx.reach(goal, {"n": n})), self.random.choice([0.2, 1.0, 5.0]))
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


# -- one tree from its number to its last check ------------------------------------------------------------------------


async def drive(clock: FakeClock, task: "asyncio.Task[Any]") -> None:
    """Let virtual time pass until a task is done."""
    for _ in range(100_000):
        if task.done():
            return
        for _ in range(20):
            await asyncio.sleep(0)
        clock.advance(0.05)
    raise AssertionError("the run does not end")


async def pass_time(clock: FakeClock, steps: int) -> None:
    """Let a little virtual time pass."""
    for _ in range(steps):
        for _ in range(10):
            await asyncio.sleep(0)
        clock.advance(0.05)


class Tree:
    """One random tree, with the people who answer, join and cancel it."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.random = self.world.random
        self.clock = self.world.clock
        self.budget = self._budget()
        self.orc = Orchestrator(self.world.tools(), clock=self.clock, monitors=(), policy=POLICY)
        self.asked = False
        self.cancelled_at: float | None = None

    def _budget(self) -> Budget | None:
        match self.random.choice(("usd", "calls", "seconds", "", "", "")):
            case "usd":
                return Budget(usd=self.random.choice([0.3, 0.5, 1.0]))
            case "calls":
                return Budget(calls=self.random.randint(3, 25))
            case "seconds":
                return Budget(seconds=self.random.choice([0.5, 2.0, 5.0]))
            case _:
                return None

    async def run(self) -> Outcome[Any]:
        """Drive the tree to its end and check it."""
        began = self.clock.monotonic()
        if self.budget is not None and self.budget.seconds is not None:
            self.world.deadline = began + self.budget.seconds
        task = self._called()
        if self.world.chance(0.2):
            await self._joined_and_left(task)
        if self.world.chance(0.35):
            await self._cancelled(task)
        await drive(self.clock, task)
        outcome: Outcome[Any] = task.result() if not task.cancelled() else await self._looked()
        for _ in range(200):
            if outcome.status is not Status.WAITING:
                break
            outcome = await self._answered(outcome)
        assert outcome.status is not Status.WAITING, "it asks for ever"
        await self._after_the_end(outcome)
        self._check_time(began)
        check(self.world, outcome, self.orc, self.budget)
        return outcome

    def _called(self) -> "asyncio.Task[Outcome[Any]]":
        run = self.orc.run(f"g{DEPTH}", {"n": 1}, run_id="tree", budget=self.budget)
        return asyncio.ensure_future(run)

    async def _looked(self) -> Outcome[Any]:
        looking = asyncio.ensure_future(self.orc.resume("tree"))
        await drive(self.clock, looking)
        return looking.result()

    async def _joined_and_left(self, task: "asyncio.Task[Outcome[Any]]") -> None:
        joiner = self._called()
        await pass_time(self.clock, self.random.randint(1, 10))
        joiner.cancel()
        await asyncio.wait({joiner})
        run = self.orc._runtime.runs.live("tree")  # pyright: ignore[reportPrivateUsage]
        ended = task.result() if task.done() else None
        said = ended.impasse.message if ended is not None and ended.impasse is not None else ""
        if "caller left" in said or (run is not None and run.cancelled == "its caller left"):
            self.world.wrong.append("a joiner that left cancelled the run")

    async def _cancelled(self, task: "asyncio.Task[Outcome[Any]]") -> None:
        """Cancel the tree at a random moment: by name, or by its caller's leaving."""
        await pass_time(self.clock, self.random.randint(1, 60))
        if task.done():
            return
        self.cancelled_at = self.clock.monotonic()
        if self.world.chance(0.3):
            task.cancel()
            work: asyncio.Future[Any] = task
        else:
            work = asyncio.ensure_future(self.orc.cancel("tree"))
        for _ in range(TURNS):
            await asyncio.sleep(0)
        run = self.orc._runtime.runs.live("tree")  # pyright: ignore[reportPrivateUsage]
        if run is not None and run.waits:  # its caller had its outcome: it leaves a run that waits for a person
            self.cancelled_at = None
        else:
            self.world.stopped = True
        await drive(self.clock, work)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def _answered(self, outcome: Outcome[Any]) -> Outcome[Any]:
        """A person answers one of the questions, after a while: rightly, wrongly, no, or by cancelling the run."""
        self.asked, self.world.deadline = True, None
        await pass_time(self.clock, self.random.choice([0, 5, 60]))
        for _ in range(10 * TURNS):
            await asyncio.sleep(0)
        outcome = await self._looked()
        if outcome.status is not Status.WAITING:
            return outcome
        stale = self._stale(outcome)
        if stale:  # one may be withdrawn at this very moment
            for _ in range(10 * TURNS):
                await asyncio.sleep(0)
            outcome = await self._looked()
            if outcome.status is not Status.WAITING:
                return outcome
            if stale & self._stale(outcome):
                self.world.wrong.append(f"nobody awaits the answer to {stale}")
        if self.world.chance(0.05) and not self.world.stopped:
            cancelling = asyncio.ensure_future(self.orc.cancel("tree"))
            for _ in range(TURNS):
                await asyncio.sleep(0)
            self.world.stopped = True
            await drive(self.clock, cancelling)
            return cancelling.result()
        question = self.random.choice(outcome.questions)
        answer = self._answer(question)
        answering = asyncio.ensure_future(self.orc.resume("tree", answer, question=question.id))
        await drive(self.clock, answering)
        try:
            return answering.result()
        except InputError:  # a wrong answer, or a question that was withdrawn meanwhile
            return await self._looked()

    def _stale(self, outcome: Outcome[Any]) -> set[str]:
        """Questions of calls that are shown and that no call awaits."""
        return {q.text for q in outcome.questions if q.text.endswith("?") and not self.world.awaited[q.text]}

    def _answer(self, question: Any) -> Any:
        if question.text.endswith("?") and question.choices == ():
            return f"answer to {question.text}"
        said = self.random.choice(["yes", "yes", "yes", "no", "what?"])
        if said == "yes" and question.step == "approved":
            self.world.approved[question.run] += 1
        return said

    async def _after_the_end(self, outcome: Outcome[Any]) -> None:
        """An ended run stays as it is, whatever is asked of it, and nothing of it goes on."""
        world = self.world
        world.ended = True
        before = (Counter(world.made), Counter(world.undone))
        for cancels in (True, False):
            work = self.orc.cancel("tree") if cancels else self.orc.resume("tree", "yes")
            task = asyncio.ensure_future(work)
            await drive(self.clock, task)
            again = task.result()
            assert (again.status, again.uncompensated) == (outcome.status, outcome.uncompensated), "the end changed"
        await pass_time(self.clock, 60)
        assert (world.made, world.undone) == before, "an ended run was changed"
        left = {task for task in asyncio.all_tasks() if not task.done()} - {asyncio.current_task()}
        left = {task for task in left if task.get_name().startswith(("run:", "reach:", "call:", "goes on:", "tree"))}
        assert not left, f"tasks are left: {[task.get_name() for task in left]}"

    def _check_time(self, began: float) -> None:
        """A deadline and a cancellation bind at once, but for writes in flight and what is undone."""
        if self.asked:
            return
        now = self.clock.monotonic() - 3.0  # `_after_the_end` let them pass
        if self.cancelled_at is not None:
            assert now - self.cancelled_at < 12.0, f"the cancellation took {now - self.cancelled_at:g} s"
        if self.budget is not None and self.budget.seconds is not None:
            assert now - began < self.budget.seconds + 12.0, f"the deadline was passed by {now - began:g} s"


async def run_tree(seed: int) -> tuple[World, Outcome[Any], Orchestrator]:
    """One random tree, run and checked."""
    tree = Tree(seed)
    return tree.world, await tree.run(), tree.orc


def check(world: World, outcome: Outcome[Any], orc: Orchestrator, budget: Budget | None) -> None:
    """What must hold of every tree."""
    assert not world.wrong, world.wrong[:5]
    assert outcome.status in (Status.REACHED, Status.ESCALATED)
    assert outcome.questions == (), "an ended run asks"
    assert all(world.undone[what] <= world.made[what] for what in world.undone), "undone more often than done"
    assert all(count == 1 for count in world.once.values()), f"once: {world.once}"
    _check_money(world, outcome, budget)
    standing = sum(world.made.values()) - sum(world.undone.values())
    used = _used(outcome) if outcome.ok else 0
    assert standing <= used + len(outcome.uncompensated), f"{standing} stand, {used} used, {outcome.uncompensated}"
    _check_answers(outcome)
    for row in orc.store.runs(limit=10_000):
        assert row.status.ended, f"{row.run_id} is {row.status}"
        verified = orc.verify(row.run_id)
        assert verified.ok, verified.problems
        replayed = orc.replay(row.run_id)
        assert replayed.agrees, [str(each) for each in replayed.differences]


def _check_money(world: World, outcome: Outcome[Any], budget: Budget | None) -> None:
    assert abs(outcome.cost - world.spent) < 1e-9, f"cost {outcome.cost}, spent {world.spent}"
    if budget is not None and budget.usd is not None:
        assert world.spent <= budget.usd + 0.1 + 1e-9, "over the budget by more than a call"
    if budget is not None and budget.calls is not None:
        assert world.begun <= budget.calls, f"{world.begun} calls of {budget.calls}"


def _used(outcome: Outcome[Any]) -> int:
    """Effects of the tree that its record says are used, at most."""
    own = sum(call.tool in WRITES and call.error is None for call in outcome.calls)
    return own + sum(_used(child) for child in outcome.children if child.ok)


def _check_answers(outcome: Outcome[Any]) -> None:
    """Every failure of the tree is answered by exactly one decision."""
    for failure in outcome.failures:
        answers = [d.kind for d in outcome.decisions if failure.id in d.answers and d.kind in ANSWERING]
        assert len(answers) == 1, f"{outcome.run_id}: {failure.id} is answered by {answers}"
    for child in outcome.children:
        _check_answers(child)
