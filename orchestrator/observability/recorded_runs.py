"""`RecordedRuns`: the calls of an `Orchestrator` that read recorded runs, and learn from them."""

from typing import TYPE_CHECKING, Any

from orchestrator.core.calls.options import checked
from orchestrator.core.errors import InputError
from orchestrator.core.events import WorkJudged
from orchestrator.core.outcome import Outcome
from orchestrator.core.policy import Policy
from orchestrator.engine.background.background import Background
from orchestrator.engine.background.evaluation import WorkEvaluator
from orchestrator.engine.lifecycle import resume as resuming
from orchestrator.engine.lifecycle.feedback import feedback
from orchestrator.engine.runtime import Runtime
from orchestrator.selection import Selector
from orchestrator.selection.learning.evaluation import Judge, check_judge, judgements_of
from orchestrator.store import Store
from orchestrator.store.unknown_run import unknown_run

if TYPE_CHECKING:
    from orchestrator.observability.replay.replay import Replay
    from orchestrator.store.ledger.verify import Verification

    from .learn_skills import SkillsLearned


class RecordedRuns:
    """A base class of `Orchestrator`: verify, replay, judge and learn from runs on record.

    These calls read the store; from an event loop, call them in a thread.
    """

    store: Store
    selector: Selector
    _runtime: Runtime
    _background: Background
    _evaluator: WorkEvaluator

    @checked(InputError)
    def verify(self, run_id: str) -> "Verification":
        """Whether the record of a run is whole and unchanged. Raises `InputError` for an unknown run."""
        from orchestrator.store.ledger.verify import verify_run

        self.store.flush()
        return verify_run(self.store, run_id)

    @checked(InputError)
    def replay(self, run_id: str, policy: Policy | str | None = None) -> "Replay":
        """Make every decision of a run again from its record; calls no tool, no model, no code of yours.

        With another policy it answers what would have been decided. Raises `InputError` for an unknown run.
        """
        from orchestrator.observability.replay.replay import replay_run

        self.store.flush()
        return replay_run(self.store, run_id, Policy.load(policy) if isinstance(policy, str) else policy)

    @checked()
    def feedback(self, run_id: str, key: str, success: bool) -> None:
        """Record for the learner how good the work behind a key of a run was.

        Raises `InputError` for a run or key that is not on record, and for a key that no agent gave.
        """
        self._runtime.runs.check_open()
        feedback(self._runtime, run_id, key, success)

    @checked()
    async def learn_skills(
        self, *, model: Any = None, dry_run: bool = False, keep_texts: bool = False
    ) -> "SkillsLearned":
        """Find skills in the recorded runs: discovered in what work was about, merged and split by how it turned out.

        The new handbook is stored and chosen by at once; with `dry_run` nothing changes, and `.proposal` shows what
        would, by what evidence. A chat `model` may propose splits, and is shown texts of the work; the outcomes decide.
        Words of the work stay out of the handbook unless `keep_texts`. What work was about is on record only under
        `Policy(keep_values=True)`; `.work.why_nothing` says so where it is missing. Raises `StoreError`.
        """
        from .learn_skills import SkillSearch, learn_skills

        self._runtime.runs.check_open()
        self.store.flush()
        options = self.selector.options
        how = SkillSearch(model, options.embedding, keep_texts, on_problem=self.store.on_problem)
        return await self._background.learning.synced(lambda: learn_skills(self.store, how, dry_run=dry_run))

    @property
    def judge(self) -> Judge | None:
        """Who judges the work of agents that have no judge of their own, once their run has ended; may be set.

        A function `(inputs, output)`, async or not, or a `ModelJudge`; `None` for nobody.
        """
        return self._evaluator.judge

    @judge.setter
    def judge(self, judge: Judge | None) -> None:
        self._evaluator.judge = check_judge(judge, "The orchestrator")

    @checked(InputError)
    def judgements(self, run_id: str) -> tuple[WorkJudged, ...]:
        """The judgements of a run's work by judges and people: who, how good, at what cost.

        Raises `InputError` for an unknown run.
        """
        self.store.flush()
        if self.store.run(run_id) is None:
            raise unknown_run(self.store, run_id)
        return judgements_of(self.store, run_id)

    @checked(InputError)
    def outcome(self, run_id: str) -> Outcome[Any]:
        """The outcome of a run, from its record. Raises `InputError` for an unknown run."""
        return resuming.outcome(self._runtime, run_id)


__all__ = ["RecordedRuns"]
