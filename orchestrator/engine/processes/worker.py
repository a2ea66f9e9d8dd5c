"""The program of a worker process: one call after another, under its limit of memory."""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import ModuleType
from typing import Any, Final

from typing_extensions import override

from orchestrator.core.privacy.redaction import is_own

from .wire import CallReply, CallRequest, Named, dumps, load_function, receive, send

LARGEST_GROWTH: Final = 300
"""Megabytes by which a worker may grow before it is replaced."""
MOST_CALLS: Final = 1000
MEGABYTE: Final = 1_000_000


class ProjectFinder(importlib.abc.MetaPathFinder):
    """Import hook for the modules of project folders, which are found by path."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        file = self.files.get(fullname)
        return importlib.util.spec_from_file_location(fullname, file) if file else None


def work(connection: socket.socket) -> None:
    """Answer calls until the socket is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    finder = ProjectFinder()
    sys.meta_path.append(finder)
    usual = megabytes()
    for left in reversed(range(MOST_CALLS)):
        received = receive(connection)
        if received is None:
            return
        reply = perform_call(pickle.loads(received), finder)
        last = left == 0 or megabytes() - usual > LARGEST_GROWTH
        with suppress(OSError):
            send(connection, pickle.dumps(replace(reply, retire=last)))
        if last:
            return


def perform_call(job: CallRequest, finder: ProjectFinder) -> CallReply:
    """Make one call."""
    try:
        prepare_worker(job, finder)
        call = load_function(job.call) if isinstance(job.call, Named) else pickle.loads(job.call)
        args, kwargs = pickle.loads(job.arguments)
        limit_memory(job.memory)
        try:
            result = call(*args, **kwargs)
        finally:
            limit_memory(None)
        try:
            return CallReply(result=dumps(result))
        except Exception as error:
            raise TypeError(f"its output cannot be sent back: {type(error).__name__}: {error}") from None
    except MemoryError:
        megabytes_allowed = f"more than {job.memory:g} MB" if job.memory else "more memory than there is"
        return CallReply(error=dumps(MemoryError(f"it needs {megabytes_allowed}")))
    except BaseException as error:
        return failed(error)


def failed(error: BaseException) -> CallReply:
    """The reply of an error; one that cannot be serialised is replaced by an error that names it."""
    formatted = "".join(traceback.format_exception(type(error), error, error.__traceback__))[-20_000:]
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is this file
    last = next((frame for frame in reversed(frames) if is_own(frame.filename)), frames[-1] if frames else None)
    plain = RuntimeError(f"{type(error).__name__}: {reply_text(error)}")
    error.__cause__ = error.__context__ = error.__traceback__ = None
    try:
        pickled = dumps(error)
        pickle.loads(pickled)
    except Exception:
        pickled = dumps(plain)
    place = (last.filename, last.lineno, last.name) if last is not None and last.lineno else None
    return CallReply(error=pickled, traceback=formatted, place=place)


def reply_text(error: BaseException) -> str:
    """The text of an error; never raises."""
    try:
        return str(error)
    except Exception:
        return "its text cannot be read"


def prepare_worker(job: CallRequest, finder: ProjectFinder) -> None:
    """Set the working directory, import path, environment and project modules to those of the caller."""
    finder.files = job.modules
    with suppress(OSError):
        os.chdir(job.folder)
    if sys.path != list(job.path):
        sys.path[:] = job.path
    if dict(os.environ) != job.environment:
        for name in set(os.environ) - set(job.environment):
            del os.environ[name]
        os.environ.update(job.environment)


def limit_memory(megabytes_more: float | None) -> None:
    """Limit the growth of this process's memory in megabytes; `None` for the limit of the system.

    RLIMIT_DATA: private writable memory, wherever it comes from (getrlimit(2), Linux 4.7 and later).
    """
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft: Any = hard
    if megabytes_more is not None:
        soft = int(data_bytes() + megabytes_more * MEGABYTE)
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def data_bytes() -> int:
    """Private writable memory of this process."""
    return status("VmData") * 1024


def megabytes() -> float:
    """Resident memory of this process."""
    return status("VmRSS") * 1024 / MEGABYTE


def status(field: str) -> int:
    """A field of `/proc/self/status`, in kilobytes; 0 where there is no such file."""
    with suppress(OSError, ValueError), open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    return 0
