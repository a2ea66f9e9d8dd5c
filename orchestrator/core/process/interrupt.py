"""Ctrl-C while the command line is still being imported: exit status 130, without a traceback.

Only the program installs this (`orchestrator`, `python -m orchestrator.cli`): a library must not touch signals.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

INTERRUPTED: Final = 130


def guard_imports() -> None:
    """End the process on SIGINT at once while the command line starts."""
    if _is_program() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _leave)


def imports_done() -> None:
    """Restore Python's handling of SIGINT after `guard_imports`."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_program() -> bool:
    words = sys.orig_argv[1:]
    as_module = any(words[n : n + 2] == ["-m", "orchestrator.cli"] for n in range(len(words)))
    return as_module or Path(sys.argv[0] if sys.argv else "").name in ("orchestrator", "orchestrator.exe")


def _leave(number: int, frame: Any) -> None:
    del number, frame
    os._exit(INTERRUPTED)


guard_imports()

__all__ = ["guard_imports", "imports_done"]
