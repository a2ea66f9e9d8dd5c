"""`orchestrator resume` and `cancel`: answer a run that waits, pick up one whose process stopped, or stop one."""

import asyncio
import getpass
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from orchestrator.api import Orchestrator
from orchestrator.cli import options
from orchestrator.cli.invocation import app_given, command
from orchestrator.cli.result import durable, run_json, show_outcome
from orchestrator.cli.screen import Exit, complain, exit_of, say, screen, write_json
from orchestrator.cli.session import find_run, open_project, reading, working
from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError
from orchestrator.core.outcome import Outcome
from orchestrator.core.text import listed, plain
from orchestrator.escalation.notify import ask_on_terminal
from orchestrator.observability.answering import keep_answer, missing_tools, open_questions
from orchestrator.observability.progress import ProgressSink
from orchestrator.store.rows import RunRow


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("resume")(_resume)
    app.command("cancel")(_cancel)


def _resume(
    run: options.RunArgument,
    answer: Annotated[
        str | None,
        typer.Argument(
            metavar="[ANSWER]", help="The number of a choice, yes or no, a value, or JSON.", show_default=False
        ),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who answers. Default: who is logged in.")] = "",
    question: Annotated[
        str | None,
        typer.Option("--question", metavar="ID", help="The question that is answered, where several are open."),
    ] = None,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Continue a run: answer a waiting one, or take over one that was interrupted.

    Without ANSWER a waiting run asks on a terminal, and shows its question in a pipe.
    """
    with reading(store) as opened:
        row = find_run(opened, run)
    loaded, named = open_project(project), project is not None or app_given() is not None
    sink = None if as_json else ProgressSink(screen())

    async def work() -> tuple[Outcome[Any], RunRow | None] | None:
        async with working(loaded, policy, store) as orc:
            if sink is not None and not row.status.ended:
                orc.add_sink(sink)
            missing = missing_tools(orc.store, row.run_id, orc.graph, other_version=named)
            if missing and not row.status.ended:
                if answer is None or row.status is not Status.WAITING:
                    raise InputError(
                        f"The run {plain(row.run_id)!r} plans with {listed(missing[:3])}, which this project does not "
                        "have. Name its own with --project DIR or --app module:orc."
                    )
                await asyncio.to_thread(keep_answer, orc.store, row.run_id, answer, by or _user(), question)
                return None
            given: Any = answer
            if given is None and row.status is Status.WAITING and _asks_on_terminal(as_json):
                given = _ask(orc, row.run_id, question)
            outcome = await orc.resume(row.run_id, given, by=by or _user(), question=question)
            return outcome, await asyncio.to_thread(durable, orc.store, row.run_id)

    try:
        done = asyncio.run(work())
    except KeyboardInterrupt:
        complain(
            f"`{command('why', row.run_id, but=('--project', '--policy'))}` shows what was done.", status="interrupted"
        )
        raise typer.Exit(int(Exit.INTERRUPTED)) from None
    finally:
        if sink is not None:
            sink.close()
    if done is None:
        _show_kept_answer(row.run_id, as_json=as_json)
        return
    outcome, now = done
    if as_json:
        write_json(run_json(outcome, row=now))
    else:
        show_outcome(outcome, now)
    raise typer.Exit(int(exit_of(outcome.status)))


def _show_kept_answer(run_id: str, *, as_json: bool) -> None:
    """Say that the answer waits in the store for a program that has the run's tools."""
    if as_json:
        write_json({"schema": "orchestrator.answer/1", "run_id": run_id, "kept": True})
        return
    say(f"{plain(run_id)}: the answer is kept; this project does not have the run's tools.")
    with_its_own = command("recover", but=("--project", "--app", "--policy"))
    say(f"The run continues when its program or a worker picks it up: `{with_its_own} --project DIR` (or --app).")


def _asks_on_terminal(as_json: bool) -> bool:
    return not as_json and sys.stdin.isatty() and sys.stdout.isatty()


def _ask(orc: Orchestrator, run_id: str, question_id: str | None) -> Any:
    """The answer of whoever sits at the terminal to one question, else the first; `None` when there is none."""
    found = [each for each in open_questions(orc.store, run_id) if question_id in (None, each[0].id)]
    if not found:
        return None
    question, impasse = found[0]
    if impasse.kind == "question":
        return _typed(f"{plain(question.text)}\n> ", input)
    return ask_on_terminal(question, impasse)


def _typed(prompt: str, read: Callable[[str], str]) -> str | None:
    try:
        return read(prompt)
    except EOFError:
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _cancel(
    run: options.RunArgument,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Stop a run, whichever process executes it, and show how it ended: effects are undone or listed."""
    with reading(store) as opened:
        run_id = find_run(opened, run).run_id
    loaded = open_project(project)

    async def work() -> tuple[Outcome[Any], RunRow | None]:
        async with working(loaded, policy, store) as orc:
            outcome = await orc.cancel(run_id)
            return outcome, await asyncio.to_thread(durable, orc.store, run_id)

    outcome, now = asyncio.run(work())
    if as_json:
        write_json(run_json(outcome, row=now))
    else:
        show_outcome(outcome, now)
    raise typer.Exit(int(Exit.REACHED))  # it was stopped, or had ended before
