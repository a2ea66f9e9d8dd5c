"""`orchestrator run`: reach a goal from what is given, once or over many values of one key."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from orchestrator.api import Orchestrator
from orchestrator.core.checks import check_number
from orchestrator.core.errors import InputError
from orchestrator.core.goal import Budget, Goal
from orchestrator.core.text import listed
from orchestrator.engine.lifecycle.start import check_goal
from orchestrator.engine.options import Preferences, RunOptions
from orchestrator.escalation import Demote
from orchestrator.graph.tool import Tool
from orchestrator.intent.needs import needs_of
from orchestrator.observability.progress import ProgressSink
from orchestrator.project import Project
from orchestrator.testing import parse_fault

from . import options
from .batch import Batch, run_batch
from .invocation import command
from .options import read_labels
from .result import READS as _READS
from .result import durable, run_json, show_outcome
from .screen import Exit, complain, exit_of, screen, write_json
from .session import assemble, open_project, working
from .values import Given, goal_of, read_inputs


@dataclass(frozen=True)
class Order:
    """The checked request of a run; nothing is started or written before all checks."""

    project: Project
    policy: str
    store: str
    goal: Goal[Any]
    given: Given
    broken: tuple[Tool, ...]
    """Tools with injected faults."""
    options: RunOptions
    as_json: bool
    jobs: int


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(_run)


def _run(
    goal: options.GoalArgument,
    inputs: options.Inputs = None,
    each: Annotated[
        str | None,
        typer.Option("--each", metavar="KEY", help="Run once for every file or value that follows: --each KEY PATH..."),
    ] = None,
    demote: options.DemoteOption = None,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    budget: Annotated[float | None, typer.Option("--budget", metavar="USD", help="Spend at most this.")] = None,
    dial: options.Dial = None,
    trust: options.Trust = None,
    stays: options.Stays = False,
    max_cost: options.MaxCost = None,
    deadline: Annotated[float | None, typer.Option("--deadline", metavar="SECONDS", help="Take at most this.")] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", metavar="ID", help="The run's id; one used before means that run.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="A label to find the run by: --label customer=17."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=256, help="Runs at one time, with --each.")] = 4,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault", metavar="TOOL=FAULT", help="Break a tool on purpose: pypdf=outage, ocr=fail:2, a=slow:3."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Reach GOAL from the given inputs by the cheapest route, heal failures, and show what happened.

    orchestrator run brief document=report.pdf

    orchestrator run brief --each document *.pdf
    """
    loaded = open_project(project)
    checker = assemble(loaded, policy)  # in memory, so that an invalid request writes nothing
    wanted = goal_of(goal, demote or ())
    view = checker.graph.view()
    check_goal(wanted, set(view.keys))
    given = read_inputs(view, inputs or (), each)
    _check_nothing_is_missing(checker, wanted, given, inputs or ())
    if given.each is not None and run_id is not None:
        raise InputError("--run-id names one run, and --each makes many. Leave one of them out.")
    if run_id is not None and not run_id.strip():
        raise InputError("--run-id is empty. Leave it out, or give the run a name.")
    order = Order(
        project=loaded,
        policy=policy,
        store=store,
        goal=wanted,
        given=given,
        broken=_broken(checker, fault or ()),
        options={
            **_options(run_id, budget, deadline, options.preferences(dial, trust, stays=stays, max_cost=max_cost)),
            "labels": read_labels(label) or None,
        },
        as_json=as_json,
        jobs=jobs,
    )
    raise typer.Exit(int(_many(order) if given.each is not None else _one(order)))


def _check_nothing_is_missing(orc: Orchestrator, goal: Goal[Any], given: Given, words: Sequence[str]) -> None:
    """Raises `InputError`, with a line to paste, for an input that no tool gives and that was not provided.

    Not if a lesser goal does not need it, or a rung of the ladder could provide it.
    """
    if not all(isinstance(rung, Demote) for rung in orc.escalation):
        return
    at_hand = {*given.values, *(() if given.each is None else (given.each,))}
    view = orc.graph.view()
    missing = needs_of(view, goal.keys, at_hand).required
    if not missing or not all(needs_of(view, lesser.keys, at_hand).required for lesser in goal.demotions):
        return
    more = [f"{key}={key.upper()}" for key in missing]
    over = () if given.each is None else ("--each", given.each, "...")
    line = command("run", "+".join(goal.keys), *words, *more, *over)
    raise InputError(
        f"{goal.name} needs {listed([repr(key) for key in missing])}, which no tool gives and which was not provided. "
        f"Give {'it' if len(missing) == 1 else 'them'}:\n{line}"
    )


def _options(run_id: str | None, budget: float | None, deadline: float | None, preferred: Preferences) -> RunOptions:
    limits = Budget(usd=_limit("--budget", budget), seconds=_limit("--deadline", deadline))
    return {
        "run_id": run_id,
        "budget": limits,
        "dial": preferred.get("dial"),
        "constraints": preferred.get("constraints"),
    }


def _limit(option: str, value: float | None) -> float | None:
    return None if value is None else check_number(option, value)


def _broken(checker: Orchestrator, faults: Sequence[str]) -> tuple[Tool, ...]:
    """The tools with their faults. Raises `InputError` for nonsense, `DefinitionError` for an unknown tool."""
    found: dict[str, Tool] = {}
    for text in faults:
        name, broken = parse_fault(text)
        found[name] = broken(found.get(name) or checker.graph[name])
    return tuple(found.values())


def _one(order: Order) -> Exit:
    """One run, with live progress."""
    sink = None if order.as_json else ProgressSink(screen())
    begun = _Begun()

    async def work() -> Exit:
        async with working(order.project, order.policy, order.store) as orc:
            _watch(orc, begun, sink)
            with _faults(orc, order):
                outcome = await orc.run(order.goal, order.given.values, **order.options)
            row = await asyncio.to_thread(durable, orc.store, outcome.run_id)
            if sink is not None:  # shown before closing, which waits for judges
                sink.close()
                show_outcome(outcome, row)
            else:
                write_json(run_json(outcome, row=row))
        return exit_of(outcome.status)

    try:
        return asyncio.run(work())
    except KeyboardInterrupt:
        _interrupted(begun)
        return Exit.INTERRUPTED
    finally:
        if sink is not None:
            sink.close()


def _many(order: Order) -> Exit:
    """Many runs, a bounded number at a time, with a line for each when it ends."""
    batch, begun = Batch(order.given, as_json=order.as_json), _Begun()

    async def work() -> Exit:
        async with working(order.project, order.policy, order.store) as orc:
            _watch(orc, begun)
            with _faults(orc, order), batch:
                return await run_batch(orc, order.goal, batch, order.options, jobs=order.jobs)

    try:
        return asyncio.run(work())
    except KeyboardInterrupt:
        _interrupted(begun, done=batch.done, of=len(order.given.over))
        return Exit.INTERRUPTED


def _watch(orc: Orchestrator, begun: "_Begun", sink: ProgressSink | None = None) -> None:
    orc.add_sink(begun)
    if sink is not None:
        orc.add_sink(sink)


def _faults(orc: Orchestrator, order: Order) -> ExitStack:
    stack = ExitStack()
    for tool in order.broken:
        stack.enter_context(orc.override(tool))
    return stack


class _Begun:
    """Keeps the live runs, for the message after Ctrl-C."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        self.cancelled: list[str] = []
        """Runs that ended because they were interrupted."""

    def on_event(self, event: Any) -> None:
        """Take one event."""
        from orchestrator.core.events import RunEnded, RunStarted

        if isinstance(event, RunStarted) and event.parent is None:
            self.ids[event.run_id] = None
        elif isinstance(event, RunEnded) and event.run_id in self.ids:
            del self.ids[event.run_id]
            if event.impasse is not None and event.impasse.get("kind") == "cancelled":
                self.cancelled.append(event.run_id)


def _interrupted(begun: _Begun, done: int | None = None, of: int = 0) -> None:
    """Print the commands for interrupted runs: to read the record, and to resume a run that did not end."""
    so_far = "" if done is None else f" {done} of {of} had ended."
    names = list(begun.ids)
    if not names:
        hint = [f"\n{command('why', run_id, but=_READS)}     shows what was done" for run_id in begun.cancelled[:1]]
        complain(f"Nothing was lost.{so_far}{''.join(hint)}", status="interrupted")
        return
    more = f", and {len(names) - 1} more" if len(names) > 1 else ""
    complain(
        f"What was done is on record.{so_far}\n"
        f"{command('why', names[0], but=_READS)}     shows what was done{more}\n"
        f"{command('resume', names[0])}  goes on from there",
        status="interrupted",
    )


__all__ = ["register"]
