"""Checks of the decisions after a failure: retry, reconcile, compensate."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.core.enums import Effect
from orchestrator.core.price import PICO
from orchestrator.engine.state import RunState
from orchestrator.engine.steps.retry import RetryFacts, decide_retry
from orchestrator.graph.revision import ToolSpec

from .context import Finding, ReplayContext, compared


def check_retry(context: ReplayContext, decision: Decision) -> list[Finding]:
    """Recompute the decision to retry."""
    again, reason = decide_retry(_facts(context, decision.facts))
    if not again:
        return [Finding("retry", "retry", "no retry", reason)]
    found = [] if context.other else compared("reason", decision.reason, reason)
    return found + _fits(context, decision, decision.facts)


def check_reconcile(context: ReplayContext, decision: Decision) -> list[Finding]:
    """The answer of `reconcile` is a fact; the decision that follows is recomputed."""
    if decision.facts.get("done"):
        return compared("answer", decision.chosen, "it took place")
    retry: Mapping[str, Any] = decision.facts["retry"]
    again, reason = decide_retry(_facts(context, retry))
    found = compared("answer", decision.chosen, "retry" if again else "reroute", reason)
    if not context.other:
        found += compared("reason", decision.reason, f"it did not take place; {reason}")
    return found + _fits(context, decision, retry)


def check_not_retried(context: ReplayContext, decision: Decision) -> list[Finding]:
    """Recompute also why the failures that a decision answers were not retried."""
    found: list[Finding] = []
    given_up: Mapping[str, Mapping[str, Any]] = decision.facts.get("not_retried", {})
    for failure, facts in given_up.items():
        again, reason = decide_retry(_facts(context, facts))
        if again:
            found.append(Finding(f"retry after {failure}", "no retry", "retry", reason))
    return found


def _facts(context: ReplayContext, data: Mapping[str, Any]) -> RetryFacts:
    """The recorded facts; under another policy, with its limits if the tool has none of its own."""
    facts = RetryFacts.from_json(data)
    if not context.other:
        return facts
    retries = context.policy.retries
    allowed = facts.retries if facts.own else retries.attempts
    return replace(facts, retries=allowed, max_retry_after=retries.max_retry_after)


def _fits(context: ReplayContext, decision: Decision, data: Mapping[str, Any]) -> list[Finding]:
    """Check that the facts of a retry agree with the records before it."""
    facts, tool = RetryFacts.from_json(data), decision.subject or ""
    failure = context.state.failures.get(decision.answers[0]) if decision.answers else None
    if failure is None or failure.id not in context.state.unanswered:
        return [Finding("answers", ", ".join(decision.answers) or "none", "no failure that is unanswered")]
    return [
        *compared("failed tool", tool, failure.tool),
        *compared("class of the failure", str(facts.kind), str(failure.kind)),
        *compared("attempt", facts.attempt, context.state.tries.get(tool, 0)),
    ]


def check_compensate(context: ReplayContext, decision: Decision) -> list[Finding]:
    """Check that the compensated effect stands, is not used, can be undone, and is the latest."""
    state, tool = context.state, decision.subject or ""
    if "child" in decision.facts:  # the child's record has its effects
        due_below = next(iter(state.unused_below(reached=state.reached)), None)
        return [] if tool in state.effect_order else [Finding("undoing", tool, due_below or "nothing")]
    node = context.view.nodes.get(tool)
    if node is None or not _can_be_undone(node):
        return [Finding("undoing", tool, "it cannot be undone")]
    found: list[Finding] = []
    if not math.isclose(decision.price or 0.0, (node.undo_cost or 0) / PICO, abs_tol=1e-9):
        found = compared("price", decision.price, (node.undo_cost or 0) / PICO)
    reached = decision.facts.get("reached")
    if reached is None:
        return found if tool in state.invalid else [*found, Finding("undoing", tool, "its output was valid")]
    if reached and not state.reached:
        found.append(Finding("goal", "reached", "not reached"))
    due = _due(context, state, goal=state.goal if reached else (), kept=decision.facts.get("without_output", ()))
    return found + compared("undoing", tool, due, "what is not used is undone, the latest first")


def _due(context: ReplayContext, state: RunState, *, goal: tuple[str, ...], kept: tuple[str, ...]) -> str | None:
    for name in state.standing(goal):
        node = context.view.nodes.get(name)
        if node is not None and _can_be_undone(node) and name not in kept and name not in state.uncompensated:
            return name
    return None


def _can_be_undone(node: ToolSpec) -> bool:
    return node.effect == Effect.WRITE and node.undo_cost is not None
