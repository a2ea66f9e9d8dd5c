"""`backtest`: replays many recorded runs under another policy: which decisions change, and what that would have cost.

Each decision is recomputed from the records before it, so a later decision is based on the actual state of the run.
Money, time and risk are therefore compared for first routes only: what would have followed another first route is not
recorded.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.enums import DecisionKind
from orchestrator.core.errors import InputError
from orchestrator.core.policy import Policy
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow

from .recorded_plan import Expectation
from .replay import Replay, Replayed, replay_run


@dataclass(frozen=True, slots=True)
class Changed:
    """One changed decision."""

    run_id: str
    decision: str
    kind: DecisionKind
    recorded: str
    recomputed: str
    why: str
    saved: float | None
    """Expected saving of the other first route in US dollars; `None` if unknown."""


@dataclass
class Backtest:
    """The result of a backtest."""

    policy: str
    """The name of the policy; empty for each run's own."""
    runs: int = 0
    decisions: int = 0
    changed: int = 0
    """Number of changed decisions."""
    changed_runs: int = 0
    by_kind: Counter[str] = field(default_factory=Counter[str])
    """Changed decisions by kind."""
    changes: list[Changed] = field(default_factory=list[Changed])
    """The changed decisions, at most as many as requested; runs in the given order."""
    recorded: Expectation = field(default_factory=Expectation)
    """Sum over the recorded first routes."""
    recomputed: Expectation = field(default_factory=Expectation)
    """Sum over the recomputed first routes."""
    routes: int = 0
    """Number of first routes that were compared."""
    unreadable: dict[str, str] = field(default_factory=dict[str, str])
    """Run -> why it could not be replayed."""

    @property
    def agrees(self) -> bool:
        """Whether every recomputed decision equals the recorded one."""
        return not self.changed and not self.unreadable

    def to_json(self) -> dict[str, Any]:
        """Plain data, for programs."""
        return {
            "policy": self.policy,
            "runs": self.runs,
            "decisions": self.decisions,
            "changed": self.changed,
            "changed_runs": self.changed_runs,
            "by_kind": dict(sorted(self.by_kind.items())),
            "first_routes": self.routes,
            "recorded": _figures(self.recorded),
            "recomputed": _figures(self.recomputed),
            "saved_usd": self.recorded.money - self.recomputed.money,
            "saved_seconds": self.recorded.latency - self.recomputed.latency,
            "less_risk": self.recorded.risk - self.recomputed.risk,
            "unreadable": self.unreadable,
            "changes": [
                {
                    "run_id": each.run_id,
                    "decision": each.decision,
                    "kind": str(each.kind),
                    "recorded": each.recorded,
                    "recomputed": each.recomputed,
                    "why": each.why,
                    "saved_usd": each.saved,
                }
                for each in self.changes
            ],
        }


def _figures(total: Expectation) -> dict[str, float]:
    return {"usd": total.money, "seconds": total.latency, "risk": total.risk}


def backtest(store: Store, rows: Iterable[RunRow], policy: Policy | None = None, *, most: int = 1000) -> Backtest:
    """Replay these runs under `policy` (`None`: each under its own); lists at most `most` changed decisions."""
    found = Backtest(policy.name if policy is not None else "")
    for row in rows:
        try:
            replay = replay_run(store, row.run_id, policy)
        except InputError as error:
            found.unreadable[row.run_id] = str(error)
            continue
        _add(found, replay, most)
    return found


def _add(found: Backtest, replay: Replay, most: int) -> None:
    found.runs += 1
    found.decisions += len(replay.decisions)
    found.changed_runs += not replay.agrees
    first = next((each for each in replay.decisions if each.decision.kind is DecisionKind.ROUTE), None)
    for each in replay.decisions:
        saved = None
        if each is first and each.recorded is not None and each.recomputed is not None:
            found.recorded += each.recorded
            found.recomputed += each.recomputed
            found.routes += 1
            saved = each.recorded.money - each.recomputed.money
        if not each.agrees:
            found.changed += 1
            found.by_kind[str(each.decision.kind)] += 1
            if len(found.changes) < most:
                found.changes.append(_changed(replay.run_id, each, saved))


def _changed(run_id: str, each: Replayed, saved: float | None) -> Changed:
    first = each.differences[0]
    decision = each.decision
    return Changed(run_id, decision.id, decision.kind, first.recorded, first.recomputed, first.why, saved)


__all__ = ["Backtest", "Changed", "backtest"]
