"""Owner identities: names by which other processes of the machine check whether the owner still runs.

A name contains the machine (host, boot, process namespace), the process id, the start time of the process, and the
address of its stack. The last two distinguish the process from one with a reused process id, and from a program that
replaced it by `exec`. A forked child has another process id and must take a new name.
"""

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SEPARATOR: Final = "|"
_STOPPED: Final = "Tt"
_GONE: Final = "ZX"


@dataclass(frozen=True)
class _Process:
    """What proc(5) shows of a process: state letter, start time in clock ticks since boot, start of the stack."""

    state: str
    started: str
    stack: str


def owner_name() -> str:
    """A name for this process, another one at each call."""
    pid = os.getpid()
    process = _process(pid)
    started, stack = (process.started, process.stack) if process else ("", "0")
    return _SEPARATOR.join((_machine(), str(pid), started, f"{stack}-{uuid.uuid4().hex[:8]}"))


def owner_died(owner: str) -> bool:
    """Whether `owner` was a process of this machine that is certainly gone; `False` if unknown."""
    pid = _local_process(owner)
    if pid is None:
        return False
    process = _process(pid)
    return not _hidden(pid) if process is None else not _same(owner, process)


def owner_runs(owner: str) -> bool:
    """Whether `owner` is another process of this machine that certainly runs: neither gone, nor stopped by a signal."""
    pid = _local_process(owner)
    if pid is None or pid == os.getpid():
        return False
    process = _process(pid)
    return process is not None and _same(owner, process) and process.state not in _STOPPED


def shown_owner(owner: str) -> str:
    """An owner in a message: its process and its host."""
    parts = owner.split(_SEPARATOR)
    return f"process {parts[1]} on {parts[0].partition('/')[0]}" if len(parts) == 4 else owner


def _local_process(owner: str) -> int | None:
    """The process id of an owner on this machine."""
    parts = owner.split(_SEPARATOR)
    if len(parts) != 4 or parts[0] != _machine() or not parts[1].isdigit() or not parts[2]:
        return None
    return int(parts[1])


def _same(owner: str, process: _Process) -> bool:
    _, _, started, rest = owner.split(_SEPARATOR)
    stack = rest.partition("-")[0]
    replaced = stack.isdigit() and "0" not in (stack, process.stack) and stack != process.stack
    return process.started == started and process.state not in _GONE and not replaced


def _machine() -> str:
    """Host, boot and process namespace: process ids mean the same only where all three are equal."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot, space = "", ""
    return f"{socket.gethostname()}/{boot}/{space}".replace(_SEPARATOR, "-")


def _hidden(pid: int) -> bool:
    """Whether the process exists and its details cannot be read (another user's, under hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _process(pid: int) -> _Process | None:
    """A process as shown by /proc; `None` if it is gone or not visible."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rfind(b")") + 2 :].split()
    return _Process(fields[0].decode(), fields[19].decode(), fields[25].decode())
