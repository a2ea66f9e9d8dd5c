"""The messages between this process and a worker: length-prefixed pickles, with functions by name where possible.

Both ends are this program on this machine, and no message is stored.
"""

import importlib
import importlib.util
import os
import pickle
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

HEADER: Final = struct.Struct("!Q")
PROJECT_MODULES: Final = "orchestrator_project_"
"""Prefix of the module names of project files, which are loaded by path and cannot be imported by name."""


@dataclass(frozen=True)
class Named:
    """A function by module and name; `file` is the path of a module that cannot be imported by name."""

    module: str
    name: str
    file: str | None


@dataclass(frozen=True)
class CallRequest:
    """One call."""

    call: Named | bytes
    """By name, else pickled by value."""
    arguments: bytes
    """Pickled: positional and keyword arguments."""
    memory: float | None
    """Megabytes that the call may use beyond the worker's own memory."""
    folder: str
    path: tuple[str, ...]
    """`sys.path`."""
    environment: dict[str, str]
    modules: dict[str, str] = field(default_factory=dict[str, str])
    """Modules of project folders, with their files."""


@dataclass(frozen=True)
class CallReply:
    """How a call ended."""

    result: bytes | None = None
    error: bytes | None = None
    traceback: str = ""
    place: tuple[str, int, str] | None = None
    """File, line and function where the error was raised."""
    retire: bool = False
    """Whether the worker ends now, because it has grown or has made many calls."""


def make_job(call: Callable[..., Any], args: list[Any], kwargs: Mapping[str, Any], memory: float | None) -> bytes:
    """The message of a call. Raises `TypeError` for a function or arguments that cannot be serialised."""
    named = importable_name(call)
    try:
        job = CallRequest(
            named or by_value(call),
            dumps((args, dict(kwargs))),
            memory,
            os.getcwd(),
            tuple(sys.path),
            dict(os.environ),
            {
                name: str(module.__file__)
                for name, module in list(sys.modules.items())
                if name.startswith(PROJECT_MODULES) and getattr(module, "__file__", None)
            },
        )
        return pickle.dumps(job)
    except Exception as error:
        raise TypeError(f"it cannot be handed to a worker process: {type(error).__name__}: {error}") from None


def dumps(value: Any) -> bytes:
    """Pickle an object; functions and classes that cannot be imported, or that the main program defines, by value.

    The worker has no main program; cloudpickle maps a returned instance to the original class.
    """
    with suppress(Exception):
        pickled = pickle.dumps(value)
        if b"__main__" not in pickled:
            return pickled
    library: Any = importlib.import_module("cloudpickle")
    return bytes(library.dumps(value))


def by_value(call: Callable[..., Any]) -> bytes:
    """Pickle a function with everything in its module that it refers to, because the worker may not be able to import
    it.
    """
    library: Any = importlib.import_module("cloudpickle")
    module = sys.modules.get(getattr(call, "__module__", None) or "")
    if module is None or getattr(module, "__file__", None) or module.__name__ == "__main__":
        return dumps(call)
    library.register_pickle_by_value(module)
    try:
        return bytes(library.dumps(call))
    finally:
        library.unregister_pickle_by_value(module)


def importable_name(call: Callable[..., Any]) -> Named | None:
    """The call by name; `None` for one in the main program, a closure, a lambda or an object."""
    module, name = getattr(call, "__module__", None), getattr(call, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name or module not in sys.modules:
        return None
    try:
        found = resolve(sys.modules[module], name)
    except AttributeError:
        return None
    file = getattr(sys.modules[module], "__file__", None)
    if file is None and getattr(sys.modules[module], "__spec__", None) is None:
        return None  # created at run time: it cannot be imported
    return Named(module, name, file) if found is call else None


def resolve(module: ModuleType, name: str) -> Any:
    """The object with a dotted name in a module; for a tool, its function."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    return getattr(found, "call", found) if not isinstance(found, type) and hasattr(found, "gives") else found


def load_function(named: Named) -> Any:
    """The function in this process; its module is imported, or executed from its file if it cannot be imported."""
    module = sys.modules.get(named.module)
    if module is None:
        try:
            module = importlib.import_module(named.module)
        except ImportError:
            if named.file is None:
                raise
            module = load_file(named.module, named.file)
    return resolve(module, named.name)


def load_file(name: str, file: str) -> ModuleType:
    """Execute a file as the module of that name."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def send(connection: socket.socket, content: bytes) -> None:
    """Send one message."""
    connection.sendall(HEADER.pack(len(content)))
    connection.sendall(content)


def receive(connection: socket.socket) -> bytes | None:
    """Receive one message; `None` when the socket is closed."""
    header = _exactly(connection, HEADER.size)
    return None if header is None else _exactly(connection, HEADER.unpack(header)[0])


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        try:
            part = connection.recv(min(size, 1 << 20))
        except OSError:
            return None
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
