"""Checks of the decisions about an impasse: demote, escalate, halt, and the resumption after an answer or a crash."""

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.core.enums import DecisionKind
from orchestrator.core.route import Impasse, LesserGoal
from orchestrator.engine.lifecycle.impasses import lesser_goals, offer_of
from orchestrator.engine.planning.planning import describe_route
from orchestrator.engine.state import ASKS_ONLY
from orchestrator.escalation import Demote, Resolution

from .context import Finding, ReplayContext, compared
from .recorded_plan import RecordedPlan


def check_impasse(context: ReplayContext, decision: Decision) -> list[Finding]:
    """Check that there was no route, which lesser goals could be reached, and which of them was best."""
    found = compared("answers", decision.answers, tuple(context.state.unanswered))
    if "impasse" not in decision.facts:
        return found if decision.answers else [*found, Finding("failures", "unanswered", "none was")]
    if decision.kind is DecisionKind.ESCALATE and _is_of_a_child(context, decision):
        return found  # shown unchanged: the impasse is in the child's record
    found += _limit(context, decision)
    if decision.kind is DecisionKind.HALT:
        return found
    impasse = Impasse.from_json(decision.facts["met"])
    found += _no_route(context, decision)
    found += _subject(context, impasse)
    offers = _offers(context, decision, impasse)
    if not context.other:
        found += _same_offers(impasse.offers, offers)
    return found + _answer(context, decision, replace(impasse, offers=offers))


def _is_of_a_child(context: ReplayContext, decision: Decision) -> bool:
    """Whether the decision shows the question of a run below."""
    return Impasse.from_json(decision.facts["met"]).run_id not in ("", context.state.run_id)


def _limit(context: ReplayContext, decision: Decision) -> list[Finding]:
    """Check the limit on impasses: the next one stops the run."""
    count, limit = context.state.impasses, context.policy.max_impasses
    stopped = decision.kind is DecisionKind.HALT and bool(decision.facts.get("limit"))
    if decision.facts.get("impasse") in (*ASKS_ONLY, "cancelled"):
        return []
    if stopped == (count >= limit):
        return []
    then, now = ("halt", "go on") if stopped else (str(decision.kind), "halt")
    return [Finding("limit", then, now, f"{count} impasses were met, and the policy allows {limit}")]


def _no_route(context: ReplayContext, decision: Decision) -> list[Finding]:
    record = decision.facts.get("no_route")
    if record is None:
        return []
    planned = RecordedPlan.of(record, context.view, context.policy, own_prices=not context.other).plan(
        context.state.problem()
    )
    if planned.route is None:
        return []
    return [Finding("route", "no route", describe_route(planned.route), f"at ${planned.route.price:.9g}")]


def _subject(context: ReplayContext, impasse: Impasse) -> list[Finding]:
    """Check that an impasse about an uncertain effect concerns one in the records."""
    uncertain = {**context.state.doubt, **context.state.invalid}
    if impasse.kind != "ambiguous" or impasse.subject in uncertain:
        return []
    return [Finding("uncertain effect", str(impasse.subject), ", ".join(sorted(uncertain)) or "none")]


def _offers(context: ReplayContext, decision: Decision, impasse: Impasse) -> tuple[LesserGoal, ...]:
    if "prices" not in decision.facts or not impasse.offers:
        return impasse.offers
    ground = RecordedPlan.of(decision.facts, context.view, context.policy, own_prices=not context.other)
    goals = [goal.keys for goal in lesser_goals(context.state.wanted, context.state.goal)]
    return tuple(offer_of(keys, ground.plan(context.state.lowered_to(keys).problem())) for keys in goals)


def _same_offers(recorded: tuple[LesserGoal, ...], recomputed: tuple[LesserGoal, ...]) -> list[Finding]:
    found = compared("lesser goals", tuple(o.goal for o in recorded), tuple(o.goal for o in recomputed))
    for then, now in zip(recorded, recomputed, strict=False):
        name = " + ".join(then.goal)
        found += compared(f"price of {name}", then.price, now.price)
        found += compared(f"route to {name}", then.tools, now.tools)
    return found


def _answer(context: ReplayContext, decision: Decision, impasse: Impasse) -> list[Finding]:
    """Check the answer: that of `Demote` is recomputed; one of a model or a person is a fact that must be
    admissible.
    """
    asked = next((rung for rung in context.rungs if rung.rung == Demote.name), None)
    taken = decision.facts.get("by") == Demote.name
    found: list[Finding] = []
    if asked is not None or taken:
        resolution = _at_once(Demote()(impasse))
        best = " + ".join(resolution.goal) if resolution else None
        found += compared("best lesser goal", decision.chosen if taken else None, best)
    if decision.kind is not DecisionKind.DEMOTE:
        return found
    offer = next((offer for offer in impasse.offers if " + ".join(offer.goal) == decision.chosen), None)
    if offer is None or offer.price is None:
        return [*found, Finding("lesser goal", decision.chosen, "it is not within reach")]
    return found if context.other else [*found, *compared("price", decision.price, offer.price)]


def _at_once(work: Coroutine[Any, Any, Resolution | None]) -> Resolution | None:
    """The result of a rung that decides without awaiting."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: Resolution | None = done.value
        return answer
    work.close()
    raise AssertionError("the rung that demotes waits for something")


def check_resume(context: ReplayContext, decision: Decision) -> list[Finding]:
    """Check a resumption: after a crash, the calls in flight are those of the records; after an answer, a question was
    open.
    """
    if "in_flight" in decision.facts:
        return compared("calls in flight", list(decision.facts["in_flight"]), sorted(context.state.doing))
    return compared("question", decision.subject, context.question)
