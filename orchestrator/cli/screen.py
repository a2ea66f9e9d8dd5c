"""Output of commands: a console for results and one for errors, tables for people, JSON for programs."""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, Final

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.core.enums import Status
from orchestrator.core.text import plain


class Exit(IntEnum):
    """The exit statuses of the program."""

    REACHED = 0
    UNEXPECTED = 1
    """An unexpected error: a bug, an unreadable store."""
    BAD_INPUT = 2
    """Wrong usage, a wrong name or value, an invalid project or policy."""
    DEMOTED = 3
    ESCALATED = 4
    WAITING = 5
    INTERRUPTED = 130


_OF_STATUS: Final = {
    Status.REACHED: Exit.REACHED,
    Status.DEMOTED: Exit.DEMOTED,
    Status.ESCALATED: Exit.ESCALATED,
    Status.WAITING: Exit.WAITING,
    Status.RUNNING: Exit.UNEXPECTED,
    Status.QUEUED: Exit.WAITING,
}
_WORST_FIRST: Final = (
    Exit.INTERRUPTED,
    Exit.UNEXPECTED,
    Exit.BAD_INPUT,
    Exit.ESCALATED,
    Exit.WAITING,
    Exit.DEMOTED,
    Exit.REACHED,
)


def exit_of(status: Status) -> Exit:
    """The exit status for the status of a run."""
    return _OF_STATUS[status]


def worst(statuses: Iterable[Exit]) -> Exit:
    """The worst of several: 130 > 1 > 2 > 4 > 5 > 3 > 0."""
    return min(statuses, key=_WORST_FIRST.index, default=Exit.REACHED)


DEBUG: Final = "ORCHESTRATOR_DEBUG"
"""The environment variable that asks for tracebacks, as `--debug` does."""
_debug = False


def set_debugging(wanted: bool) -> None:
    """Whether `--debug` was given."""
    global _debug
    _debug = wanted


def debugging() -> bool:
    """Whether tracebacks are to be shown."""
    return _debug or bool(os.environ.get(DEBUG))


WIDE = 10_000
"""Columns of a line in a pipe, where nothing is wrapped."""


def screen() -> Console:
    """Where results go: standard output. No colours and no wrapping in a pipe; `NO_COLOR` is honoured."""
    return _console(sys.stdout)


def errors() -> Console:
    """Where errors go: standard error."""
    return _console(sys.stderr)


class _Screen(Console):
    """A console that tolerates a closed pipe: the command continues without output and keeps its exit status."""

    def on_broken_pipe(self) -> None:
        """Continue without output."""
        self.quiet = True
        drop_output()


def drop_output() -> None:
    """Write nothing more to standard output, because the pipe is closed."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _console(stream: Any) -> Console:
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    return _Screen(
        file=stream,
        highlight=False,
        emoji=False,
        markup=False,
        force_terminal=terminal,
        width=None if terminal else WIDE,
    )


def complain(message: str, *, status: str = "error") -> None:
    """One clear error on standard error; a message of several lines keeps them."""
    lines = [plain(line) for line in message.splitlines() if line.strip()] or ["unknown"]
    console = errors()
    console.print(Text.assemble((f"{status}: ", "bold red"), lines[0]), soft_wrap=True)
    for line in lines[1:]:
        console.print(Text(f"       {line}"), soft_wrap=True)


def say(text: str | Text = "", *, style: str = "") -> None:
    """Print a line to standard output without wrapping. A plain string must be sanitised already."""
    screen().print(Text(text, style=style) if isinstance(text, str) else text, soft_wrap=True)


def hanging(text: Text, indent: int, console: Console | None = None) -> Text:
    """`text` as it follows after `indent` columns: on a terminal wrapped, its further lines under its first."""
    console = console or screen()
    room = console.width - indent
    lines = text.wrap(console, room) if room >= 40 else text.split("\n")
    return Text("\n" + " " * indent).join(lines)


def write_json(data: Any, *, lines: bool = False) -> None:
    """JSON on standard output: indented, or on one line for a stream of objects."""
    ready = plain_json(data)
    text = json.dumps(ready, ensure_ascii=False, allow_nan=False, indent=None if lines else 2)
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()


def plain_json(data: Any) -> Any:
    """Any value as JSON data; a value without a JSON form becomes the name of its type."""
    return to_jsonable_python(
        data, inf_nan_mode="strings", bytes_mode="base64", fallback=lambda thing: f"<{type(thing).__name__}>"
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[str | Text]], *, right: Iterable[int] = ()) -> None:
    """Rows under headers: a table that fits the terminal, whole columns in a pipe. `right` columns hold numbers."""
    console, numbers = screen(), set(right)
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, header in enumerate(headers):
        made.add_column(
            header,
            justify="right" if index in numbers else "left",
            overflow="ellipsis" if console.is_terminal else "fold",
            no_wrap=index in numbers or index == 0,
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row))
    if console.is_terminal:
        console.print(made)
        return
    for line in console.render_lines(made, pad=False):
        say("".join(segment.text for segment in line).rstrip())
