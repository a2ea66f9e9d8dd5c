"""Asks a chat model for the demand of a step whose text does not determine it: before the run plans, and only if a
model is configured. Answers are cached; when the model fails, the demand inferred from the text is used.
"""

from orchestrator.agents.agent import Agent
from orchestrator.core.events import DemandTold
from orchestrator.engine.run import Run
from orchestrator.selection import Demand
from orchestrator.selection.learning.llm_judge import InferredDemand

from .demands import step_text


async def ask_what_is_demanded(run: Run) -> None:
    """Ask the model about every coming selection whose text is at hand and unclear; one call per text."""
    demands = run.runtime.demands
    if not _may_be_asked(run):
        return
    for key, text in _unsure(run):
        if not demands.inferred(text):
            await _ask(run, key, text)


def _unsure(run: Run) -> list[tuple[str, str]]:
    """The keys that several agents can give and whose inputs are at hand, with the texts of these inputs."""
    demands, view, values = run.runtime.demands, run.view, run.values.values
    givers: dict[str, list[Agent]] = {}
    for name in view.cone(run.state.goal).agents:
        agent = view.tools[name]
        if isinstance(agent, Agent):
            for key in agent.gives:
                givers.setdefault(key, []).append(agent)
    found: list[tuple[str, str]] = []
    for key, agents in sorted(givers.items()):
        ready = any(need in values for agent in agents for need in agent.needs.values()) and any(
            all(need in values for need in agent.needs.values()) for agent in agents
        )
        if len(agents) < 2 or not ready or key in run.state.at_hand or demands.declares(agents):
            continue
        text = step_text(view, key, values)
        if text and not run.runtime.selector.sure(text):
            found.append((key, text))
    return found


def _may_be_asked(run: Run) -> bool:
    """Whether the model may see the values of the run, and the budget of the run is not used up."""
    model, state = run.runtime.demands.model, run.state
    limits = (state.constraints, run.runtime.selector.options.constraints)
    if any(limit is not None and not limit.lets_see(model) for limit in limits):
        return False
    left = run.account.seconds_left()
    return (state.budget.usd is None or run.account.spent() < state.budget.usd) and (left is None or left > 0)


async def _ask(run: Run, key: str, text: str) -> None:
    runtime = run.runtime
    model, clock = runtime.demands.model, runtime.clock
    assert model is not None
    began, problem, inferred = clock.monotonic(), "", InferredDemand(Demand())
    try:
        inferred = await run.within_deadline(model(text, runtime.selector.handbook), model.timeout)
        problem = "it gave no answer that makes sense" if inferred.demand.neutral else ""
    except TimeoutError:
        problem = "it gave no answer in time"
    except Exception as error:
        problem = type(error).__name__
    runtime.demands.note(text, inferred.demand)
    run.emit(
        DemandTold(
            **run.stamp(),
            key=key,
            model=model.name,
            demand=inferred.demand.weights,
            cost=inferred.usd,
            tokens=inferred.tokens,
            seconds=max(0.0, clock.monotonic() - began),
            problem=problem,
        )
    )
    if problem:
        runtime.store.on_problem(f"the model {model.name} was asked what {key} demands: {problem}")


__all__ = ["ask_what_is_demanded"]
