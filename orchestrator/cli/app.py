"""The command-line program: its commands, and how their errors are reported."""

import contextlib
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from orchestrator.core.conventions import __version__
from orchestrator.core.errors import InputError, OrchestratorError, StoreError
from orchestrator.core.text import plain

from . import invocation
from .commands import LazyGroup
from .screen import Exit, complain, drop_output, set_debugging

LOG: Final = Path(".orchestrator") / "errors.log"
"""The log file for the traceback of an unexpected error."""

_OF_NO_PROGRAM: Final = ("init", "gateway")
"""Commands that work with no orchestrator of the user's."""
_EVERYWHERE: Final = ("--debug", "--no-color")
"""Options that are accepted anywhere; so is `--app`, which has a value."""

app = typer.Typer(
    name="orchestrator",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 reached, 3 demoted, 4 escalated, 5 waiting, 2 bad usage or input, 1 unexpected, 130 Ctrl-C.",
)


@app.callback()
def _program(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; so does the variable NO_COLOR.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    app_: Annotated[
        str | None,
        typer.Option("--app", metavar="MODULE:NAME", help="The orchestrator of a program, in place of --project."),
    ] = None,
) -> None:
    """Agent orchestration as routing: tools chosen by price, failures healed, every decision explained."""
    del version, no_color, debug, app_  # read before the commands are


def invoke(arguments: Sequence[str]) -> int:
    """Run the program with these arguments; returns its exit status. Never raises; shows a traceback only with
    `--debug`.
    """
    typed_app = invocation.option_value(arguments, "--app")
    arguments, debug = _globals(list(arguments))
    _open_closed_streams()
    _quiet_logging(debug=debug)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"orchestrator {__version__}\n")
        return Exit.REACHED
    try:
        if typed_app is not None and arguments[:1] in ([name] for name in _OF_NO_PROGRAM):
            raise InputError(f"`orchestrator {arguments[0]}` works with no orchestrator of yours. Leave --app out.")
        app(args=arguments, prog_name="orchestrator")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.REACHED if end.code is None else Exit.UNEXPECTED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return Exit.REACHED
    except (OrchestratorError, OSError) as error:
        return _expected(error, debug=debug)
    except Exception as error:
        return _unexpected(error, debug=debug)
    return Exit.REACHED


def _globals(arguments: list[str]) -> tuple[list[str], bool]:
    """The arguments without the options that are accepted anywhere before `--`, and whether to show tracebacks."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    mine, rest = arguments[:end], arguments[end:]
    if "--no-color" in mine:
        os.environ["NO_COLOR"] = "1"
    set_debugging("--debug" in mine)
    invocation.note(arguments)
    return [word for word in _without_app(mine) if word not in _EVERYWHERE] + rest, "--debug" in mine


def _open_closed_streams() -> None:
    """Replace streams that the shell closed (`>&-`) by the null device."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # open to the end


def _without_app(words: list[str]) -> list[str]:
    """The words without `--app` and its value."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "--app":
            skip = True
        elif not word.startswith("--app="):
            kept.append(word)
    return kept


def _quiet_logging(*, debug: bool) -> None:
    """Silence libraries, whose errors are already failures of tools; only the store may log warnings."""
    root, ours = logging.getLogger(), logging.getLogger("orchestrator.store")
    if debug:
        logging.basicConfig(level=logging.INFO)
    elif not root.handlers:
        root.addHandler(logging.NullHandler())
        shown = logging.StreamHandler()
        shown.setFormatter(logging.Formatter("warning: %(message)s"))
        ours.addHandler(shown)
        ours.setLevel(logging.WARNING)


def _expected(error: OrchestratorError | OSError, *, debug: bool) -> Exit:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        complain(f"{place}{error.strerror or error}")
        return Exit.BAD_INPUT
    from orchestrator.core.outcome import Escalated, NoRoute  # not imported for `--help`

    complain(str(error) or type(error).__name__)
    if isinstance(error, NoRoute | Escalated) and not isinstance(error, InputError):
        return Exit.ESCALATED
    return Exit.UNEXPECTED if isinstance(error, StoreError) else Exit.BAD_INPUT


def _unexpected(error: Exception, *, debug: bool) -> Exit:
    if debug:
        traceback.print_exception(error)
        return Exit.UNEXPECTED
    where = _log("".join(traceback.format_exception(error)))
    description = plain(f"{type(error).__name__}: {error}", 300)
    complain(f"unexpected: {description} (traceback in {where}; --debug shows it)")
    return Exit.UNEXPECTED


def _log(text: str) -> str:
    """Write a traceback to a file of mode 0600; returns its path."""
    for path in (LOG, Path(tempfile.gettempdir()) / f"orchestrator-errors-{os.getuid()}.log"):
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
                file.write(text + "\n")
            return str(path)
    return "no file: none could be written"
