"""Concurrency limits over event loops and threads, and the slots of one call.

A slot is released when the call has really ended: an abandoned call that still runs keeps its slot. A call that waits
for a person, a child run or `run_sync` lends its slots for that time.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Final

from orchestrator.core.process.forks import new_lock, renew_after_fork

Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]", str]
"""The event loop, what is awaited in it, and the run."""
ANNOUNCED: Final = 5.0
"""Seconds for which a call that a run has planned next counts as queued, if the run does not come to make it."""
MOST_GIVEN_UP: Final = 4
"""Number of running abandoned calls of one tool at which no further call of it starts."""


class Slots:
    """A semaphore over event loops; waiters are served in order."""

    def __init__(self, capacity: Callable[[], int | None]) -> None:
        self.capacity = capacity
        """Returns how many slots there are now; `None` for no limit. Called each time, so that it may change."""
        self.held = 0
        self._waiters: deque[Waiter] = deque()
        self._announced: dict[str, float] = {}
        """Run -> until when the call that it has planned next counts; in the order in which they were planned."""
        self._lock = new_lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: drop the slots of the parent's calls."""
        self.held = 0
        self._waiters.clear()
        self._announced.clear()

    @property
    def waiting(self) -> int:
        """Number of calls that wait for a slot."""
        return len(self._waiters)

    def announce(self, run_id: str, now: float) -> None:
        """Count a call that a run has planned next, so that runs that plan at the same moment do not all choose it.

        `now` is in monotonic seconds. `acquire` by the same run, or `withdraw`, ends it.
        """
        with self._lock:
            if all(waiter[2] != run_id for waiter in self._waiters):
                self._announced[run_id] = now + ANNOUNCED

    def withdraw(self, run_id: str) -> None:
        """No longer count the call that this run had planned next."""
        if self._announced:
            with self._lock:
                self._announced.pop(run_id, None)

    def ahead(self, run_id: str, now: float) -> int:
        """Calls that hold a slot, wait for one, or were planned by other runs before this one planned its own."""
        count = self.held + len(self._waiters)
        if self._announced:
            with self._lock:
                self._announced = {run: until for run, until in self._announced.items() if until > now}
                runs = list(self._announced)
            count += runs.index(run_id) if run_id in self._announced else len(runs)
        return count

    async def acquire(self, run_id: str = "") -> None:
        """Wait for a slot and take it."""
        with self._lock:
            self._announced.pop(run_id, None)
            self._serve()  # the capacity may have grown
            if not self._waiters and self._free():
                self.held += 1
                return
            loop = asyncio.get_running_loop()
            turn: asyncio.Future[None] = loop.create_future()
            waiter = (loop, turn, run_id)
            self._waiters.append(waiter)
        try:
            await turn
        except asyncio.CancelledError:
            with self._lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                    raise
            self.release()  # the slot was granted when this waiter was cancelled
            raise

    def take(self) -> None:
        """Take a slot back at once, even above the limit; for a call that lent its slot."""
        with self._lock:
            self.held += 1

    def release(self) -> None:
        """Give a slot back, from any thread."""
        with self._lock:
            self.held -= 1
            self._serve()

    def look_again(self) -> None:
        """Serve waiters after the capacity has grown."""
        with self._lock:
            self._serve()

    def _free(self) -> bool:
        capacity = self.capacity()
        return capacity is None or self.held < capacity

    def _serve(self) -> None:
        while self._waiters and self._free():
            loop, turn, _ = self._waiters.popleft()
            self.held += 1
            try:
                loop.call_soon_threadsafe(_give, turn)
            except RuntimeError:  # its event loop is closed
                self.held -= 1


def _give(turn: "asyncio.Future[None]") -> None:
    if not turn.done():  # a waiter cancelled meanwhile releases the slot itself
        turn.set_result(None)


class CallSlots:
    """The slots of one attempt: of its tool, and of a thread if it runs in one."""

    def __init__(self, *limits: Slots, run_id: str = "") -> None:
        self._limits = limits
        self._run_id = run_id
        self._held: list[Slots] = []
        self._lent = 0
        self._round = 0
        """Counts up when slots are to be taken or given back; whoever queued in an earlier round gives them back."""
        self._over = False
        self._lock = Lock()  # not inherited: a forked child has no call of its parent

    async def acquire(self) -> None:
        """Take all slots, in a fixed order."""
        try:
            await self._queue(self._round)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give all slots back, for good; safe to repeat."""
        with self._lock:
            self._over = True
            held = self._given_back()
        for limit in held:
            limit.release()

    @contextmanager
    def lent(self) -> Generator[None]:
        """Lend the slots while the call waits for the framework in its own thread."""
        self._lend()
        try:
            yield
        finally:
            self._take(self._returned())

    @asynccontextmanager
    async def lent_async(self) -> AsyncGenerator[None]:
        """Lend the slots while the call waits for the framework; then queue for them again."""
        self._lend()
        try:
            yield
        except BaseException:
            self._take(self._returned())
            raise
        wanted = self._returned()
        try:
            await self._queue(wanted)
        except BaseException:
            self._take(wanted)
            raise

    def _lend(self) -> None:
        held: list[Slots] = []
        with self._lock:
            self._lent += 1
            if self._lent == 1:
                held = self._given_back()
        for limit in held:
            limit.release()

    def _returned(self) -> int:
        """The round in which the slots must be taken again, after the last of several waits; -1 before."""
        with self._lock:
            self._lent -= 1
            if self._lent or self._over:
                return -1
            self._round += 1
            return self._round

    def _given_back(self) -> list[Slots]:
        self._round += 1
        held, self._held = self._held, []
        return held

    async def _queue(self, wanted: int) -> None:
        """Queue for the slots one after another, as long as they are wanted."""
        for limit in self._limits:
            if self._round != wanted:
                return
            await limit.acquire(self._run_id)
            self._keep(limit, wanted)

    def _take(self, wanted: int) -> None:
        """Take at once what is lacking, even above the limits: the call continues, and has to be counted."""
        with self._lock:
            lacking = self._limits[len(self._held) :] if self._round == wanted else ()
        for limit in lacking:
            limit.take()
            self._keep(limit, wanted)

    def _keep(self, limit: Slots, wanted: int) -> None:
        with self._lock:
            if self._round == wanted:
                self._held.append(limit)
                return
        limit.release()


CURRENT: ContextVar[CallSlots | None] = ContextVar("orchestrator_call_slots", default=None)
"""The slots of the current call."""


@asynccontextmanager
async def lent_slots() -> AsyncGenerator[None]:
    """Context in which a call awaits a child run or a person and holds no slot."""
    slots = CURRENT.get()
    if slots is None:
        yield
        return
    async with slots.lent_async():
        yield


@contextmanager
def waiting_outside_limits() -> Generator[None]:
    """Context for code that blocks its thread on another run (`run_sync` in a tool): its call holds no slot."""
    slots = CURRENT.get()
    if slots is None:
        yield
        return
    token = CURRENT.set(None)
    try:
        with slots.lent():
            yield
    finally:
        CURRENT.reset(token)


class ThreadLimit:
    """The limit of threads for sync tools of this process, and its abandoned calls.

    Abandoned calls count against the limit, but for at most half of it: the other half always serves live calls.
    """

    def __init__(self) -> None:
        self.most = 64
        self.given_up: Counter[str] = Counter()
        """Abandoned calls that still run, by tool."""
        self._stuck = 0
        self.slots = Slots(self._capacity)
        self._lock = new_lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: drop the parent's abandoned calls, which do not run here."""
        self.given_up.clear()
        self._stuck = 0

    def _capacity(self) -> int:
        return self.most + max(0, self._stuck - self.most // 2)

    def give_up(self, tool: str, *, in_thread: bool) -> int:
        """Note an abandoned call that still runs; returns how many its tool has."""
        with self._lock:
            self.given_up[tool] += 1
            self._stuck += in_thread
            count = self.given_up[tool]
        self.slots.look_again()
        return count

    def ended(self, tool: str, *, in_thread: bool) -> None:
        """Note that an abandoned call has ended."""
        with self._lock:
            self.given_up[tool] -= 1
            self._stuck -= in_thread
            if self.given_up[tool] <= 0:
                del self.given_up[tool]


THREADS: Final = ThreadLimit()
"""One limit per process."""


__all__ = [
    "CURRENT",
    "MOST_GIVEN_UP",
    "THREADS",
    "CallSlots",
    "Slots",
    "ThreadLimit",
    "lent_slots",
    "waiting_outside_limits",
]
