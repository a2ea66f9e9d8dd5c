"""`Answering`: how an orchestrator answers for what was done: verified, replayed, judged, learned from."""

from typing import TYPE_CHECKING, Any

from .events import WorkJudged
from .execution import resuming
from .execution.background import Background
from .execution.jury import Jury
from .execution.services import Services
from .outcome import Outcome
from .policy import Policy
from .selection import DemandModel, Selector
from .selection.judgement import Judge, check_judge, judgements_of
from .store import Store

if TYPE_CHECKING:
    from .ledger import Verification
    from .replay import Replay
    from .skill_learning import SkillsLearned


class Answering:
    """The part of an `Orchestrator` that looks back at runs, and learns from them."""

    store: Store
    selector: Selector
    _services: Services
    _background: Background
    _jury: Jury

    def verify(self, run_id: str) -> "Verification":
        """Whether the record of a run is whole and unchanged. Raises `InputError` for an unknown run."""
        from .ledger import verify_run

        self.store.flush()
        return verify_run(self.store, run_id)

    def replay(self, run_id: str, policy: Policy | str | None = None) -> "Replay":
        """Make every decision of a run again from its record; calls no tool, no model, no code of yours.

        With another policy it answers what would have been decided. Raises `InputError` for an unknown run.
        """
        from .replay import replay_run

        self.store.flush()
        return replay_run(self.store, run_id, Policy.load(policy) if isinstance(policy, str) else policy)

    def feedback(self, run_id: str, key: str, success: bool) -> None:
        """Tell the learner how good the work behind a key of a run was. Raises `InputError` for unknown names."""
        resuming.feedback(self._services, run_id, key, success)

    async def learn_skills(
        self, *, model: Any = None, dry_run: bool = False, keep_texts: bool = False
    ) -> "SkillsLearned":
        """Find skills in the recorded runs: discovered in what work was about, merged and split by how it turned out.

        The new handbook is stored and chosen by at once; with `dry_run` nothing changes, and `.proposal` tells what
        would, by what evidence. A chat `model` may propose splits, and is shown texts of the work; the outcomes decide.
        Words of the work stay out of the handbook unless `keep_texts`. What work was about is on record only under
        `Policy(keep_values=True)`; `.work.why_nothing` says so where it is missing. Raises `StoreError`.
        """
        from .skill_learning import How

        self.store.flush()
        options = self.selector.options
        how = How(model, options.embedding, keep_texts, on_problem=self.store.on_problem)
        return await self._background.lessons.learn_skills(how, dry_run=dry_run)

    @property
    def judge(self) -> Judge | None:
        """Who judges the work of agents that have no judge of their own, once their run has ended; may be set.

        A function `(inputs, output)`, async or not, or a `ModelJudge`; `None` for nobody.
        """
        return self._jury.judge

    @judge.setter
    def judge(self, judge: Judge | None) -> None:
        self._jury.judge = check_judge(judge, "The orchestrator")

    @property
    def demand_model(self) -> DemandModel | None:
        """The model that is asked what a step demands where its text leaves that unsure; may be set.

        A `DemandModel`, a chat model or its string; `None` for none.
        """
        return self._services.demands.model

    @demand_model.setter
    def demand_model(self, model: Any) -> None:
        made = model if model is None or isinstance(model, DemandModel) else DemandModel(model)
        self._services.demands.model = made

    def judgements(self, run_id: str) -> tuple[WorkJudged, ...]:
        """What judges and people said of the work of a run's agents: who, how good, at what cost."""
        self.store.flush()
        return judgements_of(self.store, run_id)

    def outcome(self, run_id: str) -> Outcome[Any]:
        """The outcome of a run as its record tells it. Raises `InputError` for an unknown run."""
        return resuming.outcome(self._services, run_id)
