"""The pool of worker processes of this program: each worker makes one call at a time and can be killed.

A call queues for one of `slots` before its time-out begins. The worker of a call that is cancelled or times out is
killed; when a worker dies, its call raises `WorkerCrashed` or `MemoryError`.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from orchestrator.core.calls.user_code import InThread
from orchestrator.core.errors import WorkerCrashed
from orchestrator.engine.slots import Slots

from .nursery import COMMAND, NEWS
from .raising import crash_key, raise_in, raise_reply
from .wire import CallReply, make_job, receive, send

START_SECONDS: Final = 60.0
"""Seconds that a worker may take to start; the first one waits for an import."""
START_NURSERY: Final = "from orchestrator.engine.processes.nursery import run_nursery; run_nursery()"


class WorkerProcess:
    """One worker process, as this process sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.pid = 0
        self.born = threading.Event()
        self.dead = threading.Event()
        self.status = 0
        self.peak = 0
        """Largest resident memory, in kilobytes."""
        self.killed = False
        self.ticket: object = None
        """The tool whose call it makes."""


class Processes:
    """The pool. Safe to use from several threads and event loops; a forked child begins with an empty one."""

    def __init__(self, size: int | None = None) -> None:
        self.size = size or max(2, os.cpu_count() or 1)
        self._lock = threading.RLock()
        self._drop_workers()

    def _drop_workers(self) -> None:
        self._pid = os.getpid()
        self.slots = Slots(lambda: self.size)
        """One slot for each worker."""
        self._control: socket.socket | None = None
        self._nursery: subprocess.Popen[bytes] | None = None
        self._idle: list[WorkerProcess] = []
        self._unborn: deque[WorkerProcess] = deque()
        self._living: dict[int, WorkerProcess] = {}
        self._broken: dict[str, int] = {}
        """Function -> number of calls in a row that crashed their worker, the last one included."""

    async def run(
        self,
        call: Callable[..., Any],
        args: list[Any],
        kwargs: Mapping[str, Any],
        memory: float | None,
        in_thread: InThread,
    ) -> Any:
        """Make the call in a worker; returns or raises what it does. Cancellation kills the worker. `in_thread` runs
        blocking code.

        Raises:
            WorkerCrashed: the worker died: native code crashed, or something killed it.
            MemoryError: it used more than `memory` megabytes.
        """
        job, ticket, taken = make_job(call, args, kwargs, memory), object(), list[WorkerProcess]()
        finished = abandoned = False

        def work() -> Any:
            worker = self.take(ticket)
            taken.append(worker)
            if abandoned:
                return self.kill(worker, ticket)
            return self._answer(worker, job, memory, call)

        try:
            result = await in_thread(work)
            finished = True
            return result
        except Exception:
            finished = True
            raise
        finally:
            if not finished:
                abandoned = True
                for worker in taken:
                    self.kill(worker, ticket)

    def _answer(self, worker: WorkerProcess, job: bytes, memory: float | None, call: Callable[..., Any]) -> Any:
        received: bytes | None = None
        with suppress(OSError):
            send(worker.connection, job)
            received = receive(worker.connection)
        if received is None:
            worker.dead.wait(5)
            worker.connection.close()
            raise_in(call, self._counted(call, crash_error(worker, memory)))
        reply: CallReply = pickle.loads(received)
        if reply.retire:
            worker.connection.close()
        else:
            self.put_back(worker)
        if reply.error is None:
            self._broken.pop(crash_key(call), None)
            return pickle.loads(reply.result or b"")
        error: BaseException = pickle.loads(reply.error)
        raise_reply(reply, self._counted(call, error), call)

    def _counted(self, call: Callable[..., Any], error: BaseException) -> BaseException:
        """The error; a crash or a lack of memory has `in_a_row`, which tells one bad input from a function that always
        fails.
        """
        place = crash_key(call)
        with self._lock:
            if isinstance(error, WorkerCrashed | MemoryError):
                self._broken[place] = self._broken.get(place, 0) + 1
                setattr(error, "in_a_row", self._broken[place])  # noqa: B010  # no exception declares it
            else:
                self._broken.pop(place, None)
        return error

    # -- workers -----------------------------------------------------------------------------------------------------

    def take(self, ticket: object) -> WorkerProcess:
        """An idle worker, or a new one. Blocks while it starts."""
        with self._lock:
            if self._pid != os.getpid():
                self._drop_workers()
            while self._idle:
                worker = self._idle.pop()
                if not worker.dead.is_set():
                    worker.ticket = ticket
                    return worker
                worker.connection.close()
            ours, theirs = socket.socketpair()
            worker = WorkerProcess(ours)
            worker.ticket = ticket
            self._unborn.append(worker)
            with theirs:
                try:
                    socket.send_fds(self._started(), [COMMAND.pack(b"F", 0)], [theirs.fileno()])
                except OSError as error:
                    self._give_up_nursery()
                    raise WorkerCrashed(f"no worker process could be started: {error}") from None
        born = worker.born.wait(START_SECONDS)
        if born and (worker.pid or not worker.dead.is_set()):
            return worker
        worker.connection.close()
        why = ": the process that starts them ended" if born else ""
        raise WorkerCrashed(f"no worker process could be started{why}")

    def put_back(self, worker: WorkerProcess) -> None:
        """Return a worker that has answered."""
        with self._lock:
            worker.ticket = None
            self._idle.append(worker)

    def kill(self, worker: WorkerProcess, ticket: object) -> None:
        """End a worker, unless it has answered and makes another call."""
        with self._lock, suppress(OSError):
            if worker.ticket is not ticket:
                return
            worker.killed = True
            if self._control is not None and self._pid == os.getpid() and worker.pid and not worker.dead.is_set():
                self._control.sendall(COMMAND.pack(b"K", worker.pid))

    def _started(self) -> socket.socket:
        if self._control is not None and self._nursery is not None and self._nursery.poll() is None:
            return self._control
        if not hasattr(os, "fork"):
            raise WorkerCrashed("isolation='process' needs a system that forks: Linux or macOS")
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).parents[3])
        path = os.environ.get("PYTHONPATH")
        with theirs:
            self._nursery = subprocess.Popen(
                [sys.executable, "-c", START_NURSERY, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, path)))},
                start_new_session=True,
            )
        self._control = ours
        threading.Thread(target=self._read_reports, args=(ours,), name="orchestrator-workers", daemon=True).start()
        return ours

    def _read_reports(self, control: socket.socket) -> None:
        """Track workers that start or end; returns when the reporting process ends."""
        while True:
            message = _whole(control)
            with self._lock:
                if message is None or control is not self._control:  # a report that comes after `close`
                    return self._give_up_nursery(control)
                what, pid, status, peak = NEWS.unpack(message)
                if what == b"B":
                    worker = self._living[pid] = self._unborn.popleft()
                    worker.pid = pid
                    worker.born.set()
                elif pid in self._living:
                    worker = self._living.pop(pid)
                    worker.status, worker.peak = status, peak
                    worker.dead.set()

    def _give_up_nursery(self, control: socket.socket | None = None) -> None:
        if control is not None and control is not self._control:
            return
        if self._control is not None:
            self._control.close()
        for worker in (*self._unborn, *self._living.values()):
            worker.dead.set()
            worker.born.set()
        self._control = None
        self._unborn.clear()
        self._living.clear()
        for worker in self._idle:
            worker.connection.close()
        self._idle.clear()

    def close(self) -> None:
        """End all workers. The next call starts new ones."""
        with self._lock:
            if self._pid != os.getpid() or self._control is None:
                return
            with suppress(OSError):
                self._control.sendall(COMMAND.pack(b"Q", 0))
            nursery = self._nursery
            self._give_up_nursery()
            self._nursery = None
        if nursery is not None:
            with suppress(subprocess.TimeoutExpired):
                nursery.wait(5)


def crash_error(worker: WorkerProcess, memory: float | None) -> Exception:
    """The error of a call whose worker has died."""
    if memory is not None and worker.peak * 1024 > 0.95 * memory * 1_000_000 and not worker.killed:
        return MemoryError(f"it needs more than {memory:g} MB")
    if not worker.dead.is_set():
        return WorkerCrashed("its worker process is gone")
    if os.WIFSIGNALED(worker.status):
        number = os.WTERMSIG(worker.status)
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        if number == signal.SIGKILL and not worker.killed:
            return MemoryError("its worker process was killed (SIGKILL), as systems do that run out of memory")
        return WorkerCrashed(f"its worker process crashed ({name})")
    return WorkerCrashed(f"its worker process ended with status {os.waitstatus_to_exitcode(worker.status)}")


def _whole(control: socket.socket) -> bytes | None:
    parts = b""
    while len(parts) < NEWS.size:
        try:
            part = control.recv(NEWS.size - len(parts))
        except OSError:
            return None
        if not part:
            return None
        parts += part
    return parts
