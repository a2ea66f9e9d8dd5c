"""`orchestrator submit`, `worker` and `recover`: queued runs and the workers that drive them."""

import asyncio
import signal
from typing import Annotated, Any

import typer

from orchestrator.api import Orchestrator
from orchestrator.cli import options
from orchestrator.cli.options import read_labels
from orchestrator.cli.result import run_json, show_outcome
from orchestrator.cli.screen import Exit, complain, exit_of, say, worst, write_json
from orchestrator.cli.session import assemble, find_run, open_project, reading, working
from orchestrator.cli.values import goal_of, read_inputs
from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, OrchestratorError, StoreError
from orchestrator.core.goal import Budget
from orchestrator.core.outcome import Outcome
from orchestrator.core.text import counted, listed, plain
from orchestrator.engine.background.worker import WorkerOptions
from orchestrator.engine.lifecycle.start import check_goal
from orchestrator.observability.answering import missing_tools
from orchestrator.project import Project
from orchestrator.store.memory import MemoryStore

_AT_ONCE = 16


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("submit")(_submit)
    app.command("worker")(_worker)
    app.command("recover")(_recover)


def _submit(
    goal: options.GoalArgument,
    inputs: options.Inputs = None,
    demote: options.DemoteOption = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label of the run; may be repeated.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", metavar="ID", help="The run's id.")] = None,
    priority: Annotated[int, typer.Option("--priority", help="Higher is taken first.")] = 0,
    delay: Annotated[float, typer.Option("--delay", metavar="SECONDS", min=0, help="Start no earlier.")] = 0.0,
    budget: Annotated[float | None, typer.Option("--budget", metavar="USD", min=0, help="Spend at most this.")] = None,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Put a run into the queue of the store and print its id; `orchestrator worker` executes it."""
    loaded = open_project(project)
    view = assemble(loaded, policy).graph.view()
    wanted = goal_of(goal, demote or ())
    check_goal(wanted, set(view.keys))
    given = read_inputs(view, inputs or ())

    async def work() -> str:
        async with assemble(loaded, policy, store) as orc:
            _check_outlives(orc)
            return await orc.submit(
                wanted,
                given.values,
                run_id=run_id,
                labels=read_labels(label),
                priority=priority,
                delay=delay,
                budget=None if budget is None else Budget(usd=budget),
                work_here=False,
            )

    submitted = asyncio.run(work())
    if as_json:
        write_json({"run_id": submitted})
    else:
        say(submitted)


def _check_outlives(orc: Orchestrator) -> None:
    """Raises `InputError` for a queue in memory, which no other process sees."""
    if isinstance(orc.store, MemoryStore):
        raise InputError("A queue in memory ends with its command. Name a file or a database with --store.")


def _worker(
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Runs at one time.")] = 100,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="TENANT=N",
            help="Runs of a tenant at one time in the fleet; `*`: each, `**`: all.",
        ),
    ] = None,
    tool_limit: Annotated[
        list[str] | None,
        typer.Option("--tool-limit", metavar="TOOL=N", help="Calls of a tool at one time in the fleet."),
    ] = None,
    attempts: Annotated[
        int, typer.Option("--attempts", min=1, help="Set a run aside after it lost so many workers.")
    ] = 5,
    drain: Annotated[
        float, typer.Option("--drain", metavar="SECONDS", min=0, help="How long runs may go on after SIGTERM.")
    ] = 30.0,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when the queue is empty.")] = False,
    metrics: Annotated[
        int | None, typer.Option("--metrics-port", metavar="PORT", help="Serve Prometheus metrics there.")
    ] = None,
    metrics_host: Annotated[
        str, typer.Option("--metrics-host", metavar="HOST", help="The address of the metrics; 0.0.0.0 in a container.")
    ] = "127.0.0.1",
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Execute the runs of the queue, many at once, until SIGTERM or Ctrl-C: then finish or return runs in progress."""
    loaded = open_project(project)

    wanted = WorkerOptions(
        concurrency=concurrency,
        limits=_limits(limit or []),
        tool_limits=_limits(tool_limit or [], "--tool-limit"),
        most_attempts=attempts,
        drain_seconds=drain,
        schedules=loaded.schedules,
    )

    async def work() -> int:
        async with working(loaded, policy, store) as orc:
            _check_outlives(orc)
            worker = orc.worker(wanted)
            if until_idle:
                return await worker.until_idle()
            if metrics is not None:
                from orchestrator.service.metrics import serve_metrics

                serve_metrics(orc, worker, metrics, metrics_host)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, worker.stop)
            complain(
                f"{plain(store)}: up to {counted(concurrency, 'run')} at one time{_scheduled(loaded)}", status="worker"
            )
            await worker.run()
            if worker.moved:
                raise StoreError(worker.moved)
            return worker.done

    done = asyncio.run(work())
    complain(f"{counted(done, 'run')} driven", status="worker")


def _scheduled(loaded: Project) -> str:
    names = ", ".join(schedule.name for schedule in loaded.schedules)
    return f"; {counted(len(loaded.schedules), 'schedule')}: {plain(names, 200)}" if names else ""


def _limits(words: list[str], option: str = "--limit") -> dict[str, int]:
    limits: dict[str, int] = {}
    for word in words:
        tenant, _, number = word.partition("=")
        if not tenant or not number.isdigit():
            raise InputError(f"{option} is NAME=N, such as acme=4 or '*=10'; it was {plain(word, 60)!r}.")
        limits[tenant] = int(number)
    return limits


def _recover(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="One run; default: all that no process executes.")
    ] = None,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Take over the runs that dead processes left, all of them or RUN, and execute them to an end or a question."""
    chosen: str | None = None
    with reading(store) as opened:
        if run is not None:
            chosen = find_run(opened, run).run_id
            opened.queue.retry(chosen)
    loaded = open_project(project)

    async def work() -> tuple[int, list[Outcome[Any]]]:
        async with working(loaded, policy, store) as orc:
            ids = [chosen] if chosen else await asyncio.to_thread(orc.store.queue.abandoned)
            return len(ids), await _recovered(orc, ids)

    left, outcomes = asyncio.run(work())
    if as_json:
        write_json([run_json(outcome) for outcome in outcomes])
    elif not left:
        say("no run was left behind")
    else:
        for outcome in outcomes:
            show_outcome(outcome)
    refused = [Exit.BAD_INPUT] if len(outcomes) < left else []
    raise typer.Exit(int(worst([*(exit_of(outcome.status) for outcome in outcomes), *refused])))


async def _recovered(orc: Orchestrator, ids: list[str]) -> list[Outcome[Any]]:
    """Drive these runs, a bounded number at a time; one that cannot be taken over is reported."""
    rows = {run_id: await asyncio.to_thread(orc.store.run, run_id) for run_id in ids}
    queued = [run_id for run_id, row in rows.items() if row is not None and row.status is Status.QUEUED]
    rest = await _resumed(orc, [run_id for run_id in ids if run_id not in queued])
    return [*rest, *(await _worked(orc, queued) if queued else ())]


async def _worked(orc: Orchestrator, ids: list[str]) -> list[Outcome[Any]]:
    """Drive queued runs as a worker, which applies their stored answers."""
    worker = orc.worker()
    working = asyncio.create_task(worker.run())
    try:
        found = await asyncio.gather(*(_wait(orc, run_id) for run_id in ids))
    finally:
        worker.stop()
        await working
    return [outcome for outcome in found if outcome is not None]


async def _wait(orc: Orchestrator, run_id: str) -> Outcome[Any] | None:
    """The outcome of a queued run; `None`, reported, for one that this project cannot drive."""
    waiting = asyncio.ensure_future(orc.wait(run_id))
    while not (await asyncio.wait([waiting], timeout=1.0))[0]:
        row = await asyncio.to_thread(orc.store.run, run_id)
        if row is not None and row.status is Status.QUEUED and row.summary.get("left"):
            waiting.cancel()
            complain(f"{plain(run_id)}: {row.summary['left']}. Name its own project with --project DIR or --app.")
            return None
    try:
        return waiting.result()
    except OrchestratorError as error:
        complain(f"{plain(run_id)}: {error}")
        return None


async def _resumed(orc: Orchestrator, ids: list[str]) -> list[Outcome[Any]]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(run_id: str) -> Outcome[Any] | None:
        async with room:
            try:
                missing = missing_tools(orc.store, run_id, orc.graph, other_version=True)
                if missing:
                    raise InputError(
                        f"it plans with {listed(missing[:3])}, which this project does not have. "
                        "Name its own with --project DIR or --app module:orc"
                    )
                return await orc.resume(run_id)
            except OrchestratorError as error:
                complain(f"{plain(run_id)}: {error}")
                return None

    async with asyncio.TaskGroup() as group:  # interrupted, it waits until the runs under way have ended
        begun = [group.create_task(one(run_id)) for run_id in ids]
    return [outcome for task in begun if (outcome := task.result()) is not None]


__all__ = ["register"]
