"""The phases of a run: plan, execute, escalate, finish. Four functions and a loop; `orc.compile` uses the same four."""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final

from orchestrator.core.enums import DecisionKind
from orchestrator.engine.planning.demand_model import ask_what_is_demanded
from orchestrator.engine.planning.replan import replan
from orchestrator.engine.run import Run
from orchestrator.engine.steps.scheduler import StepScheduler

from .escalation import answered, escalate_impasse
from .finish import close


class Phase(StrEnum):
    """What a run does next."""

    PLAN = "plan"
    EXECUTE = "execute"
    ESCALATE = "escalate"
    FINISH = "finish"
    WAIT = "wait"
    """Nothing, until a person has answered."""
    END = "end"
    """Nothing more."""


async def plan(run: Run) -> Phase:
    """Choose a route from where the run stands."""
    if run.open:
        return Phase.ESCALATE
    again = bool(run.state.unanswered) or run.first_route is not None
    kind = DecisionKind.REROUTE if run.state.unanswered else DecisionKind.ROUTE
    await ask_what_is_demanded(run)
    found = replan(run, kind, "from where the run stands" if again else "the cheapest feasible route")
    return Phase.EXECUTE if found else Phase.ESCALATE


async def execute(run: Run) -> Phase:
    """Run the route; steps start the moment their inputs are there."""
    return Phase.FINISH if await StepScheduler(run).drive() else Phase.ESCALATE


async def escalate(run: Run) -> Phase:
    """Take the impasse to the ladder, or a person's answer into the run."""
    if run.asked is None:
        goes_on = await escalate_impasse(run)
    elif run.answer is None:
        return Phase.WAIT
    else:
        goes_on = await answered(run, *run.take_answer())
    if run.asked is not None:
        return Phase.WAIT
    return Phase.PLAN if goes_on else Phase.FINISH


async def finish(run: Run) -> Phase:
    """Undo what the outcome does not use, and make the outcome."""
    run.end(await close(run))
    return Phase.END


PHASES: Final[Mapping[Phase, Callable[[Run], Awaitable[Phase]]]] = {
    Phase.PLAN: plan,
    Phase.EXECUTE: execute,
    Phase.ESCALATE: escalate,
    Phase.FINISH: finish,
}


async def drive(run: Run, phase: Phase) -> Phase:
    """Go through the phases until the run waits or has ended."""
    with run.traced():
        while phase in PHASES:
            phase = await PHASES[phase](run)
    return phase


__all__ = ["PHASES", "Phase", "drive", "escalate", "execute", "finish", "plan"]
