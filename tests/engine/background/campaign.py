"""A campaign: workers that are killed, stopped and cut off at random while orders go through them."""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from orchestrator import Orchestrator, Status
from orchestrator.core.errors import StoreError
from orchestrator.store import SqlStore
from orchestrator.store.ledger.verify import verify_store
from orchestrator.store.sql.tables import RUNS
from tests.support import forked

from .proxy import Proxy
from .server import Server
from .shop import EFFECTS, Bank, refused, tools, work

DISTURBANCES: Final = {"kill": 55, "stop": 20, "restart": 8, "reset": 6, "cut": 5, "hole": 6}
"""Weights of what happens to the workers and the database."""
FORKS: Final = {"fork": 40, "stop": 40, "kill": 20}
"""Weights of what happens to the processes alone."""
IN_FLIGHT: Final = 60
"""Orders that are submitted and not ended, at most."""
PROGRESS_SECONDS: Final = 20.0
"""Between two lines of progress in the log (`pytest --log-file=FILE --log-file-level=INFO`)."""

_log = logging.getLogger(__name__)


@dataclass
class Report:
    """What a campaign did and found."""

    disturbed: Counter[str] = field(default_factory=Counter[str])
    takeovers: list[float] = field(default_factory=list[float])
    """Seconds from a kill (or from when the database was back, if it went away after that) until none of the worker's
    runs waits for another owner."""
    ended: Counter[str] = field(default_factory=Counter[str])
    set_aside: int = 0
    listed: int = 0
    """Effects that the outcome names as uncertain or not undone."""
    problems: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    def __str__(self) -> str:
        late = sorted(self.takeovers)
        last = f"takeover p50 {late[len(late) // 2]:.2f} s, most {late[-1]:.2f} s" if late else "no takeover"
        return (
            f"{sum(self.ended.values())} runs {dict(self.ended)}; {sum(self.disturbed.values())} disturbances "
            f"{dict(self.disturbed)}; {last}; {self.set_aside} set aside and queued again; {self.listed} effects "
            f"listed; {len(self.problems)} problems; {self.seconds:.0f} s"
        )


class Campaign:
    """Orders, workers and what happens to them, all drawn from one seed."""

    def __init__(
        self,
        server: Server,
        log: str,
        *,
        workers: int = 4,
        seed: int = 1,
        queue: str = "",
        weights: Mapping[str, int] = DISTURBANCES,
    ) -> None:
        self.server, self.bank, self.proxy = server, Bank(), Proxy(server.folder)
        self.report = Report()
        self._draw = random.Random(seed)
        self._weights = weights
        self._log = log
        self._submitted = 0
        self._direct = server.url + queue.replace("?", "&")
        self._store = SqlStore(self._direct, on_problem=lambda _: None)
        self._url = self.proxy.url() + queue
        self._workers = [self._start() for _ in range(workers)]
        self._stopped: dict[int, float] = {}
        self._killed: dict[int, float] = {}
        self._back_at = 0.0
        """When the database can be reached again after it was last disturbed."""
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._watch_takeovers, daemon=True)

    def run(self, orders: int, disturbances: int, pause: float, limit: float) -> Report:
        """Submit the orders, disturb, wait until every one has ended, and check them, also after an abort."""
        began = time.monotonic()
        self._watch.start()
        try:
            asyncio.run(self._drive(orders, disturbances, pause, began + limit))
        except Exception as error:
            _log.exception("the campaign stops early")
            self.report.problems.append(f"stopped early: {error!r}")
        self.report.seconds = time.monotonic() - began
        self._over.set()
        self._watch.join(10)
        self._end_workers()
        _log.info("checking: %s", self.report)
        self._check()
        _log.info("checked: %s", self.report)
        return self.report

    def close(self) -> None:
        """End what goes on."""
        self._over.set()
        for process in self._workers:
            if process.is_alive():
                process.kill()
        self._store.close(timeout=1.0)
        self.proxy.close()
        self.bank.close()

    # -- workers -----------------------------------------------------------------------------------------------------

    def _start(self) -> BaseProcess:
        process: BaseProcess = forked.processes().Process(target=work, args=(self._url, self.bank.port, self._log))
        process.start()
        return process

    def _end_workers(self) -> None:
        for pid in list(self._stopped):
            os.kill(pid, signal.SIGCONT)
        for process in self._workers:
            process.terminate()
        for process in self._workers:
            process.join(30)
            # One that has just been started may not have its handler of SIGTERM yet.
            if process.exitcode not in (0, -signal.SIGTERM, -signal.SIGUSR1):
                self.report.problems.append(f"a worker ended with {process.exitcode}")

    async def _drive(self, orders: int, disturbances: int, pause: float, deadline: float) -> None:
        left, next_at, progress_at = disturbances, time.monotonic() + pause, time.monotonic()
        async with Orchestrator(tools(self.bank.port), store=self._direct, monitors=()) as orc:
            while (now := time.monotonic()) < deadline:
                self._continue_stopped()
                self._replace_dead()
                if now >= progress_at:
                    progress_at = now + PROGRESS_SECONDS
                    _log.info("%d submitted; %s", self._submitted, self.report)
                try:
                    open_runs = await asyncio.to_thread(self._look_after)
                    paced = IN_FLIGHT + orders * (disturbances - left) // max(1, disturbances)
                    while self._submitted < min(orders, paced) and open_runs < IN_FLIGHT:
                        order = self._submitted
                        await orc.submit("receipt", {"order": order}, run_id=f"order-{order}", work_here=False)
                        self._submitted, open_runs = order + 1, open_runs + 1
                except StoreError:
                    await asyncio.sleep(0.1)  # the database is away, as it should be now and then
                    continue
                if self._submitted == orders and not open_runs and not left:
                    return
                if left and now >= next_at:
                    await asyncio.to_thread(self._disturb)
                    left, next_at = left - 1, time.monotonic() + pause * self._draw.uniform(0.3, 1.7)
                await asyncio.sleep(0.05)
        raise TimeoutError("not every order ended in time")

    def _look_after(self) -> int:
        """Answer what is asked, queue again what was set aside; how many runs are open.

        One statement reads them all: between several, a run that goes from running to waiting would be in none.
        """
        going = RUNS.c.status.in_((Status.WAITING, Status.QUEUED, Status.RUNNING))
        statement = select(RUNS.c.run_id, RUNS.c.status, RUNS.c.wake).where(going, RUNS.c.parent.is_(None))
        try:
            with self._store.reader.connect() as connection:
                rows = connection.execute(statement).all()
        except SQLAlchemyError as error:
            raise StoreError("the database is away") from error
        for run_id, status, wake in rows:
            if status == Status.WAITING:
                self._store.queue.answer(run_id, json.dumps({"answer": True, "by": "campaign"}))
            elif status == Status.QUEUED and wake is None:
                self.report.set_aside += self._store.queue.retry(run_id)
        return len(rows)

    def _replace_dead(self) -> None:
        """A worker that ended by itself is a problem; another one takes its place, as a supervisor would see to."""
        for place, process in enumerate(self._workers):
            if process.exitcode is not None:
                if process.exitcode != -signal.SIGUSR1:  # which ends one that has just been started
                    self.report.problems.append(f"a worker ended with {process.exitcode}")
                self._workers[place] = self._start()

    def _disturb(self) -> None:
        what = self._draw.choices(list(self._weights), list(self._weights.values()))[0]
        self.report.disturbed[what] += 1
        place = self._draw.randrange(len(self._workers))
        pid = self._workers[place].pid
        assert pid is not None
        match what:
            case "kill":
                os.kill(pid, signal.SIGKILL)
                self._stopped.pop(pid, None)
                self._workers[place].join(30)
                self._killed[pid] = time.monotonic()
                self._workers[place] = self._start()
            case "stop":
                os.kill(pid, signal.SIGSTOP)
                self._stopped.setdefault(pid, time.monotonic() + self._draw.uniform(1.2, 3.0))
            case "fork":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGUSR1)
            case "restart":
                self.server.restart()
                self._back_at = time.monotonic()
            case "reset":
                self.proxy.reset()
            case "cut":
                self.proxy.cut()
            case _:
                seconds = self._draw.uniform(0.5, 2.5)
                self.proxy.black_hole(seconds)
                self._back_at = time.monotonic() + seconds

    def _continue_stopped(self) -> None:
        for pid, until in list(self._stopped.items()):
            if time.monotonic() >= until:
                del self._stopped[pid]
                os.kill(pid, signal.SIGCONT)

    def _watch_takeovers(self) -> None:
        """How long runs stay with an owner that was killed."""
        while not self._over.wait(0.1):
            try:
                with self._store.reader.connect() as connection:
                    # Children go on with their parents: whose call has not been made again yet, they wait for it.
                    going = select(RUNS.c.owner).where(RUNS.c.status == "running", RUNS.c.parent.is_(None))
                    owners = set(connection.execute(going).scalars())
            except Exception:
                continue
            holding = {int(owner.split("|")[1]) for owner in owners if owner}
            for pid, since in list(self._killed.items()):
                if pid not in holding:
                    self.report.takeovers.append(max(0.0, time.monotonic() - max(since, self._back_at)))
                    del self._killed[pid]

    # -- what must hold ----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        report = self.report
        with Reading(self.server.url, self.bank.port) as orc:
            for order in range(self._submitted):
                self._check_order(orc, order)
        verified = verify_store(self._store)
        report.problems += [str(problem) for problem in verified.problems]

    def _check_order(self, orc: Any, order: int) -> None:
        report, run_id = self.report, f"order-{order}"
        outcome = orc.outcome(run_id)
        report.ended[str(outcome.status)] += 1
        if not outcome.status.ended:
            report.problems.append(f"{run_id}: {outcome.status}, not ended")
            return
        report.listed += len(outcome.uncompensated)
        stands = {effect: self.bank.standing(f"{effect} {order}") for effect in EFFECTS}
        if any(len(self.bank.done[f"{effect} {order}"]) > 1 and count > 1 for effect, count in stands.items()):
            report.problems.append(f"{run_id}: doubled {stands}")
        if outcome.status is Status.REACHED:
            if refused(order):
                report.problems.append(f"{run_id}: reached although the shop refused it")
            if any(count != 1 for count in stands.values()):
                report.problems.append(f"{run_id}: reached with {stands}")
        elif not outcome.uncompensated and any(stands.values()):
            report.problems.append(f"{run_id}: {outcome.status} with {stands}, and none is listed")
        elif not refused(order) and not outcome.uncompensated:
            report.problems.append(f"{run_id}: {outcome.status} for no reason: {outcome.failures}")


class Reading:
    """An orchestrator for code that is not async."""

    def __init__(self, store: str, port: int) -> None:
        self._orc = Orchestrator(tools(port), store=store, monitors=())

    def __enter__(self) -> Orchestrator:
        return self._orc

    def __exit__(self, *error: object) -> None:
        self._orc.close()
