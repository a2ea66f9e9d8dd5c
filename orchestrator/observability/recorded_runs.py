"""`RecordedRuns`: the methods of an `Orchestrator` that read recorded runs and learn from them."""

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
    """A base class of `Orchestrator`: verify, replay, judge and learn from recorded runs.

    These calls read the store; from an event loop, call them in a thread.
    """

    store: Store
    selector: Selector
    _runtime: Runtime
    _background: Background
    _evaluator: WorkEvaluator

    @checked(InputError)
    def verify(self, run_id: str) -> "Verification":
        """Verify that the record of a run is complete and unchanged. Raises `InputError` for an unknown run."""
        from orchestrator.store.ledger.verify import verify_run

        self.store.flush()
        return verify_run(self.store, run_id)

    @checked(InputError)
    def replay(self, run_id: str, policy: Policy | str | None = None) -> "Replay":
        """Recompute every decision of a run from its record; calls no tool, no model and no user code.

        With another policy it shows what would have been decided. Raises `InputError` for an unknown run.
        """
        from orchestrator.observability.replay.replay import replay_run

        self.store.flush()
        return replay_run(self.store, run_id, Policy.load(policy) if isinstance(policy, str) else policy)

    @checked()
    def feedback(self, run_id: str, key: str, success: bool) -> None:
        """Record how good the work behind a key of a run was, and learn from it.

        Raises `InputError` for an unknown run or key, and for a key that no agent gave.
        """
        self._runtime.runs.check_open()
        feedback(self._runtime, run_id, key, success)

    @checked()
    async def learn_skills(
        self, *, model: Any = None, dry_run: bool = False, keep_texts: bool = False
    ) -> "SkillsLearned":
        """Learn skills from recorded runs: discover them in the texts of the work, merge and split them by its
        outcomes.

        The new handbook is stored and used at once; with `dry_run` nothing changes, and `.proposal` has the changes
        with their evidence. A chat `model` may propose splits and is shown texts of the work; the outcomes decide.
        Words of the work stay out of the handbook unless `keep_texts`. Texts are stored only under
        `Policy(keep_values=True)`; `.work.why_nothing` says so if they are missing. Raises `StoreError`.
        """
        from .learn_skills import SkillSearch, learn_skills

        self._runtime.runs.check_open()
        self.store.flush()
        options = self.selector.options
        how = SkillSearch(model, options.embedding, keep_texts, on_problem=self.store.on_problem)
        return await self._background.learning.synced(lambda: learn_skills(self.store, how, dry_run=dry_run))

    @property
    def judge(self) -> Judge | None:
        """The judge of agents without a judge of their own, called after their run has ended; may be set.

        A function `(inputs, output)`, async or not, or a `ModelJudge`; `None` for no judge.
        """
        return self._evaluator.judge

    @judge.setter
    def judge(self, judge: Judge | None) -> None:
        self._evaluator.judge = check_judge(judge, "The orchestrator")

    @checked(InputError)
    def judgements(self, run_id: str) -> tuple[WorkJudged, ...]:
        """The judgements of a run's work by judges and people, with their cost.

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
