"""Feedback of a person on an agent's work: updates the handbook, with an orchestrator or from the records of a store
alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.core.errors import InputError, nearest
from orchestrator.core.events import WorkJudged
from orchestrator.core.text import plain
from orchestrator.engine.background.evaluation import emit_judgement
from orchestrator.engine.background.learning import recorded_demand
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.state import RunState
from orchestrator.graph.revision import GraphRevision
from orchestrator.graph.spec import ToolSpec
from orchestrator.selection import Demand
from orchestrator.selection.choice.exploration import Onboarding
from orchestrator.selection.competence.priors import relative_prices
from orchestrator.selection.learning.evaluation import keep_judgement
from orchestrator.selection.learning.learner import LearningStep
from orchestrator.selection.learning.updates import Observation
from orchestrator.selection.skills.storage import change_handbook
from orchestrator.store.protocol import Store
from orchestrator.store.unknown_run import unknown_run

from .recovery import fold

PERSON: Final = "a person"
"""The name of the judge of such feedback."""


@dataclass(frozen=True, slots=True)
class _AgentWork:
    """The step of an agent that gave a key of a run."""

    state: RunState
    agent: str
    key: str
    demand: Demand

    def judged(self, success: bool, at: float) -> WorkJudged:
        """The event of the judgement, for the record."""
        return WorkJudged(
            run_id=self.state.run_id,
            at=at,
            tool=self.agent,
            keys=(self.key,),
            by=PERSON,
            good=success,
            weight=1.0,
            traceparent=self.state.traceparent,
        )


def feedback(runtime: Runtime, run_id: str, key: str, success: bool) -> None:
    """Apply feedback to an orchestrator's selector. Raises `InputError` for a key that no agent of the run gave."""
    runtime.store.flush()
    work = _work_behind(runtime.store, run_id, key)
    runtime.selector.learn(work.agent, work.demand, success)
    runtime.selector.apply_pending()
    judged = work.judged(success, runtime.clock.time())
    emit_judgement(runtime, judged)
    keep_judgement(runtime.store, judged)


def feedback_on_record(store: Store, run_id: str, key: str, success: bool) -> None:
    """Apply feedback without the run's program: update the store's handbook from the recorded selections of agents.

    Raises `InputError` for a key that no agent of the run gave, and `StoreError`.
    """
    work = _work_behind(store, run_id, key)
    data = store.graph(work.state.graph)
    nodes: Mapping[str, ToolSpec] = GraphRevision.from_json(data).nodes if data is not None else {}
    agents = [spec for name, spec in nodes.items() if spec.skills or name == work.agent]
    declared = {spec.name: spec.skills for spec in agents}
    seen = Observation(work.agent, work.demand, success)
    change_handbook(store, LearningStep((seen,), declared, relative_prices(agents), Onboarding().evidence))
    keep_judgement(store, work.judged(success, store.estimated_now()))
    store.flush()


def _work_behind(store: Store, run_id: str, key: str) -> _AgentWork:
    """The agent's step that gave a key, with the demand recorded at its selection."""
    records = store.records(run_id)
    if not records:
        raise unknown_run(store, run_id)
    state = fold(run_id, records)
    demands = {name: recorded_demand(state, name) for name in state.at_hand.values() if name is not None}
    giver = state.at_hand.get(key)
    if giver is not None and (demand := demands[giver]) is not None:
        return _AgentWork(state, giver, key, demand)
    by_agents = [each for each, name in state.at_hand.items() if name is not None and demands[name] is not None]
    if key not in state.at_hand:
        raise InputError(f"No tool of the run {run_id!r} gave {plain(key, 60)!r}.{nearest(key, by_agents)}")
    source = f"came from the tool {giver!r}, which is not chosen by skill" if giver else "was given to the run"
    others = f"What agents gave in this run: {', '.join(by_agents)}." if by_agents else "No agent gave a value in it."
    raise InputError(f"{key!r} of the run {run_id!r} {source}: there is nothing to learn from it. {others}")


__all__ = ["feedback", "feedback_on_record"]
