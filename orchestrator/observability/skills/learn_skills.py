"""`learn_skills`: the handbook of a store brought in line with what its recorded runs show; for quiet times."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import StoreError
from orchestrator.selection.choice.embedding import Embedding
from orchestrator.selection.learning.proposal import Proposal, propose
from orchestrator.selection.skills.handbook import Handbook
from orchestrator.selection.skills.storage import numbered_handbook, swap_handbook
from orchestrator.store.protocol import Store

from .recorded_work import MOST_RUNS, RecordedWork, recorded_work

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

TRIES: Final = 5
"""How often it is proposed anew because another process changed the handbook meanwhile."""


@dataclass(frozen=True)
class SkillsLearned:
    """What recorded work shows, and what became of the handbook."""

    work: RecordedWork
    proposal: Proposal
    stored: bool = False
    """Whether the store has the new version."""

    @property
    def handbook(self) -> Handbook:
        """As it is now: the new version where it was stored, else the one before."""
        return self.proposal.after if self.stored else self.proposal.before


@dataclass(frozen=True)
class How:
    """How skills are looked for."""

    model: "BaseChatModel | str | None" = None
    """A chat model that proposes splits; it is shown texts of the work."""
    embedding: Embedding | None = None
    keep_texts: bool = False
    """Whether words and examples of the work may be kept in the handbook, which is private to the store otherwise."""
    runs: int = MOST_RUNS
    """Runs that are read, the newest."""
    on_problem: Callable[[str], None] = lambda _: None


async def learn_skills(store: Store, how: How | None = None, *, dry_run: bool = False) -> SkillsLearned:
    """Propose skills by what the runs of a store show, and make them the next version of its handbook.

    With `dry_run` nothing is changed. Raises `StoreError`, also when other processes change the handbook all the time.
    """
    how = how or How()
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


async def proposed(handbook: Handbook, work: RecordedWork, how: How) -> Proposal:
    """What a handbook would become by recorded work."""
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


__all__ = ["How", "SkillsLearned", "learn_skills", "proposed"]
