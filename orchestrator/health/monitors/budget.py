"""`BudgetMonitor`: money, seconds and calls, per run and per day."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from orchestrator.core.calls.options import checked, checked_init
from orchestrator.core.enums import SignalAction
from orchestrator.core.events import CallEnded, Event, WorkJudged

from .facts import DAY, MonitorFacts, RunFacts
from .signal import WHOLE_RUN, Signal


@checked_init()
@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """What may be spent; `None` is no limit."""

    usd: float | None = None
    seconds: float | None = None
    calls: int | None = None


class BudgetMonitor:
    """Halts a run that has used up its budget, and all runs when the day's budget is used up; warns at the share
    `warn_at`.

    Limits of a run default to its own budget, then to the policy's; those of a day to the policy's `max_spend_per_day`.
    """

    interval = 1.0

    woken_by: ClassVar[tuple[type[Event], ...]] = (CallEnded, WorkJudged)

    @checked()
    def __init__(
        self,
        run: BudgetLimits | None = None,
        day: BudgetLimits | None = None,
        *,
        warn_at: float = 0.8,
        name: str = "budget",
    ) -> None:
        self.name = name
        self._run = run
        self._day = day
        self._warn_at = warn_at

    def wakes(self, event: Event) -> bool:
        """Is called at once after a paid call, else every second."""
        return isinstance(event, CallEnded | WorkJudged) and event.cost > 0

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Signals of kind `budget`."""
        signals: list[Signal] = []
        for run_id in sorted(facts.runs):
            run = facts.runs[run_id]
            spent = (run.cost, run.seconds(facts.now), run.calls)
            signals += self._signals(spent, self._of_run(run, facts), "of this run's", 3600.0, run_id)
        day = self._day or BudgetLimits(usd=facts.policy.max_spend_per_day)
        facts.today.begin(facts.time)
        spent = (facts.today.usd, facts.today.seconds, facts.today.calls)
        left = DAY - facts.time % DAY
        return [*signals, *self._signals(spent, day, "of today's", left, "")]

    def _of_run(self, run: RunFacts, facts: MonitorFacts) -> BudgetLimits:
        if self._run is not None:
            return self._run
        policy, own = facts.policy, run.budget
        return BudgetLimits(
            policy.max_spend if own.usd is None else own.usd,
            policy.max_seconds if own.seconds is None else own.seconds,
            policy.max_calls if own.calls is None else own.calls,
        )

    def _signals(
        self, spent: tuple[float, float, int], limits: BudgetLimits, whose: str, ttl: float, run_id: str
    ) -> Iterable[Signal]:
        named = zip(("US dollars", "seconds", "calls"), spent, (limits.usd, limits.seconds, limits.calls), strict=True)
        for unit, used, limit in named:
            if limit is None:
                continue
            reason = f"{used:.4g} {whose} {limit:g} {unit} are spent"
            kind = f"budget: {unit}"
            if used > limit:
                yield Signal(WHOLE_RUN, kind, 1.0, SignalAction.HALT, reason=reason, ttl=ttl, run_id=run_id)
            elif limit and used >= self._warn_at * limit:
                yield Signal(WHOLE_RUN, kind, 0.4, reason=reason, ttl=ttl, run_id=run_id)
