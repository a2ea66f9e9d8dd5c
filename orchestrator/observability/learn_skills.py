"""`learn_skills`: updates the handbook of a store from the recorded work of its agents. Calls no user code.

Texts are available only if the values of runs were kept (`Policy(keep_values=True)`): a record holds none.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import StoreError
from orchestrator.core.events import CallEnded, Event
from orchestrator.engine.fold import apply
from orchestrator.engine.planning.demands import texts_in
from orchestrator.engine.state import RunState
from orchestrator.graph.revision import GraphRevision
from orchestrator.selection.choice.demand import Demand
from orchestrator.selection.choice.embedding import Embedding
from orchestrator.selection.learning.evaluation import judgements_of
from orchestrator.selection.learning.proposal import Proposal, propose
from orchestrator.selection.learning.updates import CHECKED, Observation, Spent
from orchestrator.selection.skills.handbook import Handbook
from orchestrator.selection.skills.storage import numbered_handbook, swap_handbook
from orchestrator.store.ledger.encoding import readable_event
from orchestrator.store.protocol import Store
from orchestrator.store.rows import Record, RunRow

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


MOST_RUNS: Final = 2000
"""Number of newest runs that are read."""
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class RecordedWork:
    """The outcomes of agents' steps, oldest first."""

    observations: tuple[Observation, ...] = ()
    runs: int = 0
    """Number of runs that were read."""
    judged: int = 0
    """Number of steps with a judgement by a person or a judge."""

    @property
    def steps(self) -> int:
        """Number of steps of agents, failed ones included."""
        return len(self.observations)

    @property
    def texts(self) -> int:
        """Number of steps whose text was kept."""
        return sum(1 for seen in self.observations if seen.text)

    @property
    def why_nothing(self) -> str:
        """Why no skills can be learned from it; empty when they can."""
        if not self.runs:
            return "No run is recorded in this store."
        if not self.steps:
            return f"In {self.runs} recorded runs no agent was chosen for a step."
        if not self.texts:
            return (
                f"{self.steps} steps of agents are recorded, but not what they were about, and by that skills are told "
                "apart. Texts are there when the values of runs are kept: set keep_values = true in the policy."
            )
        return ""


def recorded_work(store: Store, runs: int = MOST_RUNS) -> RecordedWork:
    """The work in the newest runs of a store. Runs that cannot be read are left out. Raises `StoreError`."""
    rows: dict[str, RunRow] = {}
    for offset in range(0, runs, _PAGE):  # a run that starts meanwhile may return a row twice
        page = store.runs(limit=min(_PAGE, runs - offset), offset=offset)
        rows |= {row.run_id: row for row in page}
        if len(page) < _PAGE:
            break
    views: dict[str, GraphRevision] = {}
    found: list[Observation] = []
    judged = 0
    for row in sorted(rows.values(), key=lambda row: (row.started, row.run_id)):
        seen, judgements = _of_run(store, row.run_id, views)
        found += seen
        judged += judgements
    return RecordedWork(tuple(found), len(rows), judged)


def _of_run(store: Store, run_id: str, views: dict[str, GraphRevision]) -> tuple[list[Observation], int]:
    """The outcomes of a run, and the number of judged ones."""
    state, found = RunState(run_id), list[Observation]()
    of_key: dict[str, int] = {}
    """Key -> the outcome of the step that gave it."""
    texts: dict[str, str] | None = None
    for event in _events(store.records(run_id)):
        if isinstance(event, CallEnded) and _is_observation(event):
            chosen = _choice(state, event.tool)
            view = _view(store, state.graph, views)
            if chosen is not None and view is not None:
                texts = store.values(run_id) if texts is None else texts
                demand, rivals = chosen
                text = _text(view, rivals, state, texts)
                found.append(_observation(event, demand, text))
                of_key |= dict.fromkeys(event.gives, len(found) - 1)
        apply(state, event)
    judged = set[int]()
    for judgement in judgements_of(store, run_id):
        place = next((of_key[key] for key in judgement.keys if key in of_key), None)
        if place is not None and judgement.good is not None and found[place].agent == judgement.tool:
            if judgement.weight >= found[place].weight or place not in judged:
                found[place] = replace(found[place], success=judgement.good, weight=judgement.weight)
            judged.add(place)
    return found, len(judged)


def _events(records: list[Record]) -> Iterator[Event]:
    """The events of a run, up to the first that cannot be read."""
    for record in records:
        event = readable_event(record)
        if event is None:
            return
        yield event


def _is_observation(event: CallEnded) -> bool:
    """Whether an attempt is evidence of its agent's competence."""
    return event.failure.kind.says_something_of_the_work if event.failure else event.ok


def _choice(state: RunState, agent: str) -> tuple[Demand, tuple[str, ...]] | None:
    """The demand and the other candidates when an agent was selected; `None` for a tool that is no agent."""
    for decision in reversed(state.decisions):
        if decision.chose_agent(agent):
            facts = decision.facts
            demand = Demand(facts["demand"], source=facts.get("source", "declared"), size=facts.get("size"))
            return demand, tuple(candidate.name for candidate in decision.candidates)
    return None


def _text(view: GraphRevision, rivals: tuple[str, ...], state: RunState, stored: Mapping[str, str]) -> str:
    """The text of a step's inputs, as far as stored."""
    needs = {need for name in rivals if name in view.nodes for need in view.nodes[name].needs}
    values: dict[str, Any] = {}
    for key in sorted(needs & state.at_hand.keys()):
        kept = stored.get(f"{state.at_hand[key] or ''}\x1f{key}")
        if kept is not None:
            values[key] = json.loads(kept)
    return texts_in(values)


def _observation(event: CallEnded, demand: Demand, text: str) -> Observation:
    spent: Spent = {"seconds": event.seconds, "usd": event.cost}
    return Observation(event.tool, demand, event.ok, CHECKED, text=text or None, **spent)


def _view(store: Store, digest: str, views: dict[str, GraphRevision]) -> GraphRevision | None:
    if digest not in views:
        data = store.graph(digest)
        if data is None:
            return None
        views[digest] = GraphRevision.from_json(data)
    return views[digest]


TRIES: Final = 5
"""Maximum number of repetitions because another process changed the handbook meanwhile."""


@dataclass(frozen=True)
class SkillsLearned:
    """The recorded work, the proposal, and whether it was stored."""

    work: RecordedWork
    proposal: Proposal
    stored: bool = False
    """Whether the store has the new version."""

    @property
    def handbook(self) -> Handbook:
        """The current handbook: the new version if it was stored, else the one before."""
        return self.proposal.after if self.stored else self.proposal.before


@dataclass(frozen=True)
class SkillSearch:
    """Options of the search for skills."""

    model: "BaseChatModel | str | None" = None
    """A chat model that proposes splits; it is shown texts of the work."""
    embedding: Embedding | None = None
    keep_texts: bool = False
    """Whether words and examples of the work may be kept in the handbook, which otherwise holds no text."""
    runs: int = MOST_RUNS
    """Number of newest runs that are read."""
    on_problem: Callable[[str], None] = lambda _: None


async def learn_skills(store: Store, how: SkillSearch | None = None, *, dry_run: bool = False) -> SkillsLearned:
    """Propose skills from the recorded runs of a store, and store them as the next version of its handbook.

    With `dry_run` nothing is stored. Raises `StoreError`, also when other processes change the handbook at each
    attempt.
    """
    how = how or SkillSearch()
    runs = how.runs
    work = await asyncio.to_thread(lambda: recorded_work(store, runs))
    for _ in range(TRIES):
        number, handbook = numbered_handbook(store)
        proposal = await proposed(handbook, work, how)
        if dry_run or not proposal.changed:
            return SkillsLearned(work, proposal)
        if swap_handbook(store, proposal.after, number):
            return SkillsLearned(work, proposal, stored=True)
    raise StoreError("other processes change the handbook so fast that this one does not get its turn")


async def proposed(handbook: Handbook, work: RecordedWork, how: SkillSearch) -> Proposal:
    """The proposal for a handbook from recorded work."""
    if work.why_nothing:
        return Proposal(handbook, handbook, (work.why_nothing,))
    return await propose(
        handbook,
        work.observations,
        model=how.model,
        embedding=how.embedding,
        keep_texts=how.keep_texts,
        on_problem=how.on_problem,
    )
