"""Who owns a run: a name from which others on the machine can tell whether its process still lives."""

import os
import socket
import uuid
from pathlib import Path

_SEPARATOR = "|"


def owner_name() -> str:
    """A name for this process: machine, process id, start time of the process, and something unique."""
    pid = os.getpid()
    return _SEPARATOR.join((_machine(), str(pid), _start_time(pid) or "", uuid.uuid4().hex[:8]))


def owner_died(owner: str) -> bool:
    """Whether `owner` was a process of this machine that is certainly gone; `False` when that cannot be told."""
    parts = owner.split(_SEPARATOR)
    if len(parts) != 4 or parts[0] != _machine() or not parts[1].isdigit() or not parts[2]:
        return False
    pid = int(parts[1])
    start = _start_time(pid)
    return start != parts[2] and (start is not None or not _hidden(pid))


def _machine() -> str:
    """Host, boot and process namespace: process ids mean the same only where all three are equal."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot, space = "", ""
    return f"{socket.gethostname()}/{boot}/{space}".replace(_SEPARATOR, "-")


def _hidden(pid: int) -> bool:
    """Whether the process is there and may not be looked at (another user's, under hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot (proc(5)); `None`: gone, a zombie, or not to be seen."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rfind(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()
