"""Random run trees on the virtual clock, and what must hold of each: read off the world outside and off the record.

A tree has parents that loop, map and nest, over writes, paid reads, questions, approvals, user functions that raise,
answers that are lost, keys, `once`, and children that are discarded. It runs under a budget of dollars, calls or
seconds, is answered by people who answer late, wrongly or no, joined by others, and cancelled at any moment.
"""

import asyncio
from collections import Counter
from typing import Any

from orchestrator import Budget, InputError, Orchestrator, Outcome, Status
from orchestrator.testing import FakeClock

from .tree_more import WIDE, WideWorld
from .tree_world import DEPTH, World

ANSWERING = ("retry", "reroute", "reconcile", "compensate", "demote", "escalate", "halt")
LABELS = {"tenant": "a"}
TURNS = 40
"""Turns of the event loop after which a cancellation has reached every run of the tree."""

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
        self.world = WideWorld(seed) if seed >= WIDE else World(seed)
        self.random = self.world.random
        self.clock = self.world.clock
        self.budget = self._budget()
        self.orc = Orchestrator(self.world.tools(), clock=self.clock, monitors=(), **self.world.options())
        self.wanted = self.world.goal(f"g{DEPTH}")
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
        run = self.orc.run(self.wanted, {"n": 1}, run_id="tree", budget=self.budget, labels=LABELS)
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
        if question.step != "approved" and question.rung:
            return self.world.resolution(question)
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
    assert outcome.status in (Status.REACHED, Status.DEMOTED, Status.ESCALATED)
    assert outcome.questions == (), "an ended run asks"
    assert all(world.undone[what] <= world.made[what] for what in world.undone), "undone more often than done"
    assert all(count == 1 for count in world.once.values()), f"once: {world.once}"
    _check_money(world, outcome, budget)
    standing = sum(world.made.values()) - sum(world.undone.values())
    used = _used(outcome, world) if outcome.ok else 0
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


def _used(outcome: Outcome[Any], world: World) -> int:
    """Effects of the tree that are used, at most: of calls whose output stands, and of the children they reached."""
    stand = {call.tool for call in outcome.calls if call.error is None}
    own = sum(call.tool in world.writes and call.error is None for call in outcome.calls)
    own += outcome.run_id in world.settled
    return own + sum(
        _used(child, world)
        for child in outcome.children
        if child.ok
        and child.run_id not in world.discarded
        and child.run_id.removeprefix(f"{outcome.run_id}/").partition("/")[0] in stand
    )


def _check_answers(outcome: Outcome[Any]) -> None:
    """Every failure of the tree is answered by exactly one decision."""
    for failure in outcome.failures:
        answers = [d.kind for d in outcome.decisions if failure.id in d.answers and d.kind in ANSWERING]
        assert len(answers) == 1, f"{outcome.run_id}: {failure.id} is answered by {answers}"
    for child in outcome.children:
        _check_answers(child)
