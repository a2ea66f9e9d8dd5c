"""A process with one thread that imports this package once and forks the workers.

Forking the program itself would copy the locks of its threads in an arbitrary state; a new interpreter for each worker
would repeat the import. Commands arrive on a Unix socket as five bytes each, with a file descriptor for a new worker;
the end of a worker is reported on the same socket.
"""

import os
import select
import signal
import socket
import struct
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

COMMAND: Final = struct.Struct("!ci")
"""`F` fork (with a file descriptor), `K` kill, `Q` quit; and a process id."""
NEWS: Final = struct.Struct("!ciiq")
"""`B` started, `D` ended: process id, wait status, largest resident memory in kilobytes."""


def run_nursery() -> None:
    """Serve the socket whose descriptor is the first argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    quiet_imports()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, ignore_signal)
    living: set[int] = set()
    try:
        serve_commands(control, wake, living)
    finally:
        for pid in living:
            kill(pid)
        for pid in living:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)  # so that their processor time is added to this program's
        os._exit(0)


def ignore_signal(number: int, frame: object) -> None:
    """Do nothing: the signal has already written to the pipe that wakes this process."""


def quiet_imports() -> None:
    """Import what every worker needs, without starting threads, which do not survive a fork."""
    limited = {name: os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(limited, "1"))
    for name in ("orchestrator.engine.processes.worker", "orchestrator.graph.tool"):  # every tool's file has the latter
        import_module(name)
    for name, value in limited.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)


def serve_commands(control: socket.socket, wake: int, living: set[int]) -> None:
    """Execute commands until the socket is closed or `Q` arrives."""
    while True:
        watched: list[Any] = [control, wake]
        ready, _, _ = select.select(watched, [], [])
        if wake in ready:
            with suppress(BlockingIOError):
                while os.read(wake, 512):
                    pass
        reap(control, living)
        if control not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, COMMAND.size, 1)
        if not message:
            return
        command, pid = COMMAND.unpack(message)
        if command == b"Q":
            return
        if command == b"K" and pid in living:
            kill(pid)
        elif command == b"F" and descriptors:
            living.add(fork(control, wake, descriptors[0]))


def kill(pid: int) -> None:
    """End a worker and the processes that its call has started."""
    for end in (os.killpg, os.kill):  # a worker that was just forked has no group yet
        with suppress(ProcessLookupError, PermissionError):
            return end(pid, signal.SIGKILL)


def fork(control: socket.socket, wake: int, descriptor: int) -> int:
    """Start a worker that answers on `descriptor`; its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            control.close()
            os.close(wake)
            from .worker import work

            work(socket.socket(fileno=descriptor))
            code = 0
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    os.close(descriptor)
    control.sendall(NEWS.pack(b"B", pid, 0, 0))
    return pid


def reap(control: socket.socket, living: set[int]) -> None:
    """Reap the workers that have ended, and report them."""
    while living:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        living.discard(pid)
        control.sendall(NEWS.pack(b"D", pid, status, usage.ru_maxrss))


if __name__ == "__main__":
    run_nursery()
