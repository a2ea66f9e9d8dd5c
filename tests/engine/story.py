"""The promises, read off the event record of a run: what must hold whatever the world did. One method per promise."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator import Event
from orchestrator.core.enums import ANSWERING, PLANNING, DecisionKind, Effect, FailureKind, Status
from orchestrator.core.event_records import to_body
from orchestrator.core.events import (
    CallEnded,
    CallStarted,
    Decided,
    EffectUndone,
    RunEnded,
    RungAsked,
    RunResumed,
    RunWaiting,
    ToolAllowed,
    ToolExcluded,
    ValueProvided,
)
from orchestrator.core.policy import Policy

SECRET = "secret"
"""A word that every value of a world holds."""

RANK = {Effect.READ: 0, Effect.WRITE: 1, Effect.IRREVERSIBLE: 2}


@dataclass(frozen=True)
class Shape:
    """What the record does not say of a tool."""

    needs: tuple[str, ...]
    gives: tuple[str, ...]
    effect: Effect = Effect.READ
    undo_cost: float = 0.0
    keyed: bool = False
    """Whether an idempotency key makes its repetition safe."""


@dataclass(frozen=True)
class Story:
    """One run's events, and the tools it was told about."""

    events: Sequence[Event]
    shapes: Mapping[str, Shape]
    gates: Sequence[tuple[str, str]] = ()
    """Transitions, as (from, to)."""

    def check(self, policy: Policy) -> None:
        """Every promise that the record can tell of."""
        self.every_failure_is_answered()
        self.no_model_is_asked()
        self.work_is_not_repeated()
        self.ambiguity_is_not_failure()
        self.what_was_done_is_undone_or_reported()
        self.the_price_shown_is_true(policy)
        self.commit_last()
        self.private_by_default()

    # -- what the record says ------------------------------------------------------------------------------------------

    @property
    def end(self) -> RunEnded:
        """How it ended."""
        (ended,) = (event for event in self.events if isinstance(event, RunEnded))
        return ended

    def _decided(self) -> Iterator[Any]:
        return (event.decision for event in self.events if isinstance(event, Decided))

    def _done(self) -> dict[str, CallEnded]:
        return {event.tool: event for event in self.events if isinstance(event, CallEnded) and event.ok}

    def _undone(self) -> list[str]:
        return [event.tool for event in self.events if isinstance(event, EffectUndone) and event.ok]

    def used(self, goal: Iterable[str]) -> set[str]:
        """The tools that the values of these keys were made with."""
        giver = {key: name for name, ended in self._done().items() for key in ended.kept}
        begun = {event.tool: event for event in self.events if isinstance(event, CallStarted)}
        found, waiting = set[str](), [giver[key] for key in goal if key in giver]
        while waiting:
            name = waiting.pop()
            if name in found or name not in begun:
                continue
            found.add(name)
            waiting += [giver[key] for key in begun[name].keys if key in giver]
            via = begun[name].via
            waiting += [via] if via in begun else []
        return found

    # -- the promises --------------------------------------------------------------------------------------------------

    def every_failure_is_answered(self) -> None:
        """Promise 1: by exactly one decision."""
        failures = [e.failure.id for e in self.events if isinstance(e, CallEnded) and e.failure is not None]
        answers = Counter(answer for d in self._decided() if d.kind in ANSWERING for answer in d.answers)
        assert answers == Counter(failures), ("promise 1", answers, failures)
        assert not [d for d in self._decided() if d.answers and d.kind not in ANSWERING], "promise 1"

    def no_model_is_asked(self) -> None:
        """Promise 2, in a world whose ladder has no model."""
        assert self.end.llm_calls == 0, "promise 2"
        assert not [e for e in self.events if isinstance(e, RungAsked) and e.calls], "promise 2"

    def work_is_not_repeated(self) -> None:
        """Promise 3: nothing that succeeded or was given up runs again, and no impasse is declared too early."""
        excluded, flying, ok, kept = set[str](), set[str](), Counter[str](), Counter[str]()
        for event in self.events:
            match event:
                case ToolExcluded():
                    excluded.add(event.tool)
                case ToolAllowed():
                    excluded.discard(event.tool)
                case CallStarted():
                    assert event.tool not in excluded, ("promise 3: given up", event.tool)
                    assert not ok[event.tool], ("promise 3: done", event.tool)
                    assert event.tool not in flying, ("promise 3: twice at one time", event.tool)
                    flying.add(event.tool)
                case CallEnded():
                    flying.discard(event.tool)
                    ok[event.tool] += event.ok
                    kept.update(event.kept)
                case Decided() if event.decision.kind in (DecisionKind.ESCALATE, DecisionKind.DEMOTE):
                    assert not flying, ("promise 3: an impasse while calls are in flight", flying)
                case _:
                    pass
        assert max(kept.values(), default=0) <= 1, ("promise 3: the first value of a key stays", kept)
        self._no_two_alternatives_stay()

    def _no_two_alternatives_stay(self) -> None:
        standing = [name for name in self._done() if self.shapes[name].effect is not Effect.READ]
        left = [n for n in standing if n not in self._undone() and n not in self.end.uncompensated]
        same = Counter(self.shapes[name].gives for name in left)
        assert max(same.values(), default=0) <= 1, ("promise 3: two alternatives stay in effect", left)

    def ambiguity_is_not_failure(self) -> None:
        """Promise 4: what may have happened is neither repeated unsafely nor done another way, and is told."""
        doubt = set[str]()
        for event in self.events:
            match event:
                case CallEnded() if event.failure is not None and event.failure.kind is FailureKind.AMBIGUOUS:
                    assert self.shapes[event.tool].effect is not Effect.READ, ("promise 4: a read", event.tool)
                    doubt.add(event.tool)
                case CallEnded() if event.ok:
                    doubt.discard(event.tool)
                case Decided() if event.decision.kind is DecisionKind.RECONCILE:
                    doubt.discard(event.decision.subject or "")
                case ValueProvided() if event.settles:
                    doubt.discard(event.settles)
                case CallStarted() if doubt:
                    again = event.tool in doubt and not self.shapes[event.tool].keyed
                    assert not again, ("promise 4: repeated", event.tool)
                    rivals = [n for n in doubt - {event.tool} if set(self._gives(n)) & set(self._gives(event.tool))]
                    writes = self.shapes[event.tool].effect is not Effect.READ
                    assert not (rivals and writes), ("promise 4: rerouted blindly", rivals, event.tool)
                case _:
                    pass
        assert doubt <= set(self.end.uncompensated), ("promise 4: not told", doubt)
        unsettled = doubt and self.end.status is not Status.ESCALATED
        assert not unsettled or not doubt & self.used(self.end.goal), ("promise 4: used unsettled", doubt)

    def _gives(self, name: str) -> tuple[str, ...]:
        return self.shapes[name].gives

    def what_was_done_is_undone_or_reported(self) -> None:
        """Promise 5: in reverse order, never while it waits, and nothing that is used."""
        reached = self.end.status in (Status.REACHED, Status.DEMOTED)
        used = self.used(self.end.goal) if reached else set[str]()
        effects = [n for n in self._done() if self.shapes[n].effect is not Effect.READ]
        undone, waits = self._undone(), False
        assert not used & set(undone), ("promise 5: undone although it is used", used & set(undone))
        left = [name for name in effects if name not in used and name not in undone]
        assert set(left) <= set(self.end.uncompensated), ("promise 5: neither undone nor told", left)
        assert not set(undone) & set(self.end.uncompensated), ("promise 5: undone and told as standing", undone)
        late = [name for name in undone if name in effects]
        order = [name for name in reversed(effects) if name in late]
        assert late == order, ("promise 5: not in reverse order", late, order)
        for event in self.events:
            waits = isinstance(event, RunWaiting) or (waits and not isinstance(event, RunResumed))
            assert not (waits and isinstance(event, EffectUndone)), "promise 5: undone while it waits"

    def the_price_shown_is_true(self, policy: Policy) -> None:
        """Promise 7: each step counted once, what is in flight for nothing, undoing what is abandoned included."""
        if self.gates:  # which transition is taken is not told apart from the price
            return
        flying = set[str]()
        for event in self.events:
            if isinstance(event, CallStarted):
                flying.add(event.tool)
            elif isinstance(event, CallEnded) and (event.ok or event.cancelled or event.failure):
                flying.discard(event.tool)
            elif isinstance(event, Decided) and event.decision.kind in PLANNING and "price" in event.decision.facts:
                facts = event.decision.facts
                steps = [self._price(name, facts, policy) for name in facts["tools"] if name not in flying]
                undoing = [self.shapes[name].undo_cost for name in facts.get("abandons", ())]
                total = sum(steps) + sum(undoing)
                assert event.decision.price == pytest.approx(total, rel=1e-6, abs=1e-9), ("promise 7", steps, undoing)

    def _price(self, name: str, facts: Mapping[str, Any], policy: Policy) -> float:
        money, latency, risk, competence, pressure, success = facts["prices"][name]
        success = success or facts.get("revived", {}).get(name, 0.0)
        poor = policy.quality_value * (1 - competence)
        spent = policy.step_cost + money + policy.time_value * latency + policy.risk_value * risk + poor
        return float(spent * pressure / success)

    def commit_last(self) -> None:
        """Promise 8: no effect begins while something milder, that waits for no effect of its kind, is to be done."""
        plan, ok = tuple[str, ...](), set[str]()
        for event in self.events:
            if isinstance(event, Decided) and event.decision.kind in PLANNING:
                plan = tuple(event.decision.facts.get("tools", ()))
            elif isinstance(event, CallEnded) and event.ok:
                ok.add(event.tool)
            elif isinstance(event, CallStarted) and event.attempt == 1:
                rank = RANK[event.effect]
                waited_for = [n for n in plan if n not in ok and RANK[self.shapes[n].effect] >= rank]
                later = {each for name in (event.tool, *waited_for) for each in self._downstream(name, plan)}
                early = [n for n in plan if n not in ok | later and RANK[self.shapes[n].effect] < rank]
                assert not early, ("promise 8", event.tool, "before", early)

    def _downstream(self, name: str, plan: Sequence[str]) -> set[str]:
        found, grown = {name}, True
        while grown:
            grown = False
            keys = {key for each in found for key in self.shapes[each].gives}
            for other in plan:
                gated = any((each, other) in self.gates for each in found)
                if other not in found and (gated or keys & set(self.shapes[other].needs)):
                    found.add(other)
                    grown = True
        return found

    def private_by_default(self) -> None:
        """Promise 10: no value is in any record."""
        for event in self.events:
            assert SECRET not in json.dumps(to_body(event), default=str), ("promise 10", type(event).__name__)
