"""The phases of a run: plan, execute, escalate, finish. Four functions and a loop; `orc.compile` uses the same four."""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final

from orchestrator.core.enums import DecisionKind
from orchestrator.engine.planning.demand_model import ask_what_is_demanded
from orchestrator.engine.planning.replan import check_conditions, replan
from orchestrator.engine.run import Run
from orchestrator.engine.steps.scheduler import StepScheduler

from .escalation import answered, escalate_impasse, escalate_open
from .finish import close


class Phase(StrEnum):
    """The next phase of a run."""

    PLAN = "plan"
    EXECUTE = "execute"
    ESCALATE = "escalate"
    FINISH = "finish"
    WAIT = "wait"
    """The run waits for a person's answer."""
    END = "end"
    """The run has ended."""


async def plan(run: Run) -> Phase:
    """Choose a route from the current state of the run."""
    if run.open and any(impasse.kind != "approval" for impasse in run.open):
        return Phase.ESCALATE
    if run.view.cone(run.state.goal).conditional:
        await check_conditions(run)
    again = bool(run.state.unanswered) or run.first_route is not None
    kind = DecisionKind.REROUTE if run.state.unanswered else DecisionKind.ROUTE
    if run.runtime.demands.model is not None:
        await ask_what_is_demanded(run)
    found = replan(run, kind, "from where the run stands" if again else "the cheapest feasible route")
    return Phase.EXECUTE if found else Phase.ESCALATE


async def execute(run: Run) -> Phase:
    """Execute the route; a step starts as soon as its inputs are at hand."""
    if run.scheduler is None:
        run.scheduler = StepScheduler(run)
    return Phase.FINISH if await run.scheduler.drive() else Phase.ESCALATE


async def escalate(run: Run) -> Phase:
    """Pass the impasse and every open question to the ladder, or apply a person's answer to the run."""
    if run.answer is not None and run.cancelled is None:
        goes_on, stands = await answered(run)
        if goes_on:
            return Phase.EXECUTE if stands else Phase.PLAN
        return Phase.FINISH
    if run.cancelled is not None:
        await _end_calls(run)
    else:
        were_open = len(run.open)
        if not await escalate_open(run):
            return Phase.FINISH
        if run.asked:
            return Phase.WAIT
        if were_open > len(run.open):
            return Phase.PLAN
    goes_on = await escalate_impasse(run)
    if run.asked and run.cancelled is None:
        return Phase.WAIT
    return Phase.PLAN if goes_on else Phase.FINISH


async def finish(run: Run) -> Phase:
    """Compensate the effects that the outcome does not use, and build the outcome."""
    await _end_calls(run)
    if run.recovered:
        await run.runtime.end_orphans(run)
    run.end(await close(run))
    return Phase.END


async def _end_calls(run: Run) -> None:
    """End the calls that still wait for a person, and their child runs."""
    run.asked.clear()
    if run.scheduler is not None:
        await run.scheduler.settle_down()


PHASES: Final[Mapping[Phase, Callable[[Run], Awaitable[Phase]]]] = {
    Phase.PLAN: plan,
    Phase.EXECUTE: execute,
    Phase.ESCALATE: escalate,
    Phase.FINISH: finish,
}


async def drive(run: Run, phase: Phase) -> Phase:
    """Execute phases until the run waits or has ended."""
    with run.runtime.tracing.within(run.state.run_id):  # spans that start meanwhile are children of the run's span
        while phase in PHASES:
            phase = await PHASES[phase](run)
    return phase


__all__ = ["PHASES", "Phase", "drive", "escalate", "execute", "finish", "plan"]
