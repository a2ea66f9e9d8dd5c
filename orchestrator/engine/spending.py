"""Recent costs of calls and daily spending limits: `Charges` and `DailyLimits`."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Final

from orchestrator.core.clock import Clock
from orchestrator.core.errors import StoreError
from orchestrator.core.policy import Policy
from orchestrator.core.process.forks import new_lock, renew_after_fork
from orchestrator.graph.tool import Tool
from orchestrator.store.memory import MemoryStore
from orchestrator.store.protocol import Store
from orchestrator.store.rows import Share

RECENT: Final = 32
"""Number of recent charges that are kept per tool."""
ALL_RUNS: Final = "day"
"""Name of the account of `max_spend_per_day`."""
SHARE: Final = 0.05
"""Part of a limit that a process leases at a time, unless a call needs more."""
SHARE_SECONDS: Final = 60.0
"""Seconds for which a share is leased; the share of a dead process returns then."""
BOOKED_WITHIN: Final = 10.0
"""Seconds that closing waits for a booking in progress."""
LEAST: Final = 1e-6
"""US dollars that must be left for any call, also for one of unknown cost, which reserves nothing."""


class Charges:
    """The recent charges of each tool; the largest is reserved for a call without a declared cost."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}

    def note(self, tool: str, usd: float) -> None:
        """Note the cost of an ended call in US dollars, without its child runs."""
        self._recent.setdefault(tool, deque(maxlen=RECENT)).append(usd)

    def known(self, tool: Tool) -> bool:
        """Whether a call's cost is declared, or one has been reported."""
        return (tool.declares_cost and not callable(tool.cost)) or tool.name in self._recent

    def expected(self, tool: Tool) -> float:
        """US dollars to reserve for one call: the declared cost, else the largest recent charge."""
        if tool.declares_cost and not callable(tool.cost):
            return float(tool.planned_cost())
        return max(self._recent.get(tool.name, ()), default=tool.planned_cost())


@dataclass(slots=True)
class _Account:
    """This process's share of one account."""

    balance: float = 0.0
    """The leased amount that is neither spent nor reserved; negative when calls cost more than was leased."""
    reserved: float = 0.0
    unbooked: float = 0.0
    share: Share | None = None
    """The latest lease; spending is booked for its day, also after it has expired."""


@dataclass(slots=True)
class Reservation:
    """The amount that was reserved for one call in each account."""

    limits: "DailyLimits"
    usd: float
    names: list[str] = field(default_factory=list[str])

    def settle(self, usd: float) -> None:
        """Book the actual cost of the ended call."""
        self.limits.settle(self.names, self.usd, usd)


class DailyLimits:
    """Limits for a UTC day over all processes: of all runs, and of the runs with a label.

    A process leases shares from the store, and reserves from them in memory before each call. While the store is
    unreachable, only the leased share can be spent. A thread books what was spent at once, so that it still counts when
    the share of a dead or idle process expires.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        owner: Callable[[], str],
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._in_thread = in_thread
        self._accounts: dict[str, _Account] = {}
        self._lock = new_lock()
        self._books_at_once = not isinstance(store, MemoryStore)
        self._booking: Thread | None = None
        """The thread that books spent amounts, while it runs."""
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: the shares are the parent's."""
        self._accounts = {}
        self._booking = None

    @staticmethod
    def of(policy: Policy, labels: Mapping[str, str]) -> dict[str, float]:
        """The accounts that a run with these labels spends from, with their limits in US dollars."""
        found = {f"{name}={labels[name]}": limit for name, limit in policy.max_spend_per.items() if name in labels}
        if policy.max_spend_per_day is not None:
            found[ALL_RUNS] = policy.max_spend_per_day
        return found

    async def reserve(self, limits: Mapping[str, float], usd: float) -> Reservation | str:
        """Reserve for one call in every account; returns the reservation, or why it is not possible."""
        made = Reservation(self, usd)
        for name, limit in sorted(limits.items()):
            if not await self._reserve(name, limit, usd):
                made.settle(0.0)
                of = "" if name == ALL_RUNS else f" of {name}"
                return f"it costs ${usd:g}, and today's ${limit:g}{of} are spent or reserved"
            made.names.append(name)
        return made

    async def _reserve(self, name: str, limit: float, usd: float) -> bool:
        while not self._taken(name, usd):  # another call may take what this one leased
            try:
                leased = await self._in_thread(lambda: self._lease(name, limit, usd))
            except StoreError:
                return False
            if not leased:
                return self._taken(name, usd)
        return True

    def _taken(self, name: str, usd: float) -> bool:
        with self._lock:
            account = self._accounts.setdefault(name, _Account())
            if account.share is not None and self._clock.time() >= account.share.expires:
                account.balance = -account.reserved  # what was left has returned
            if account.balance < max(usd, LEAST) - 1e-12:
                return False
            account.balance -= usd
            account.reserved += usd
            return True

    def _lease(self, name: str, limit: float, usd: float) -> float:
        """Lease the missing amount for a call of this cost; returns the US dollars that were available."""
        account = self._accounts[name]
        self._book(account)
        with self._lock:
            missing = max(0.0, max(usd, LEAST) - account.balance)
        wanted = max(missing, limit * SHARE)
        leased = self._store.accounts.lease(name, limit, wanted, self._owner(), SHARE_SECONDS)
        with self._lock:
            account.balance += leased.usd
            account.share = leased
        return leased.usd

    def _book(self, account: _Account) -> None:
        """Book the spent amount, including what calls cost beyond the share, which then is no longer negative."""
        with self._lock:
            unbooked, share = account.unbooked, account.share
            if not unbooked or share is None:
                return
            beyond = max(0.0, -(account.balance + account.reserved))
            account.unbooked = 0.0
            account.balance += beyond
        try:
            self._store.accounts.settle(share, self._owner(), unbooked, 0.0)
        except Exception:
            with self._lock:
                account.unbooked += unbooked
                account.balance -= beyond
            raise

    def settle(self, names: list[str], reserved: float, usd: float) -> None:
        """Book `usd` for a call and release its reservation."""
        with self._lock:
            for name in names:
                account = self._accounts.get(name)
                if account is None:
                    continue  # closed meanwhile
                account.balance += reserved - usd
                account.reserved -= reserved
                account.unbooked += usd
            begin = self._books_at_once and usd > 0 and bool(names) and self._booking is None
            if begin:
                self._booking = Thread(target=self._book_all, name="orchestrator-spending", daemon=True)
                self._booking.start()

    def _book_all(self) -> None:
        """Book until everything is booked; after an error of the store the next call or lease tries again."""
        while True:
            with self._lock:
                account = next((each for each in self._accounts.values() if each.unbooked and each.share), None)
                if account is None:
                    self._booking = None
                    return
            try:
                self._book(account)
            except Exception:  # the store reports it
                with self._lock:
                    self._booking = None
                return

    def close(self) -> None:
        """Book the spent amounts and return the rest of the shares."""
        booking = self._booking
        if booking is not None:
            booking.join(BOOKED_WITHIN)
        with self._lock:
            accounts, self._accounts = self._accounts, {}
        for account in accounts.values():
            if account.share is not None:
                left = max(0.0, account.balance)
                self._store.accounts.settle(account.share, self._owner(), account.unbooked, left)


__all__ = ["ALL_RUNS", "LEAST", "Charges", "DailyLimits", "Reservation"]
