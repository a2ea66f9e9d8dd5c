"""Checks of the decisions that plan (route, reroute, branch, agents in a route) and of choices within a call."""

import math
from collections.abc import Mapping
from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.core.enums import DecisionKind
from orchestrator.core.price import PICO
from orchestrator.core.route import Candidate
from orchestrator.engine.planning.planning import Planned, describe_route
from orchestrator.selection import ExplorationRound, Judged
from orchestrator.selection.choice.exploration import RecordedExploration
from orchestrator.selection.choice.scoring import counted_again
from orchestrator.selection.ensembles.consensus import Votes

from .context import Finding, ReplayContext, compared, readable_thing
from .recorded_plan import RecordedPlan


def check_plan(context: ReplayContext, decision: Decision) -> list[Finding]:
    """Plan again from the state of the run."""
    found = _answers(context, decision)
    if decision.kind is DecisionKind.BRANCH:
        known = decision.subject in context.state.conditions or decision.subject in _agent_keys(context)
        known = known or decision.subject in decision.facts.get("latencies", ())
        found += [] if known else [Finding("condition", f"{decision.subject} is known", "it was never asked")]
    if "prices" not in decision.facts:
        return found + _left_over(context)
    ground = RecordedPlan.of(decision.facts, context.view, context.policy, own_prices=not context.other)
    problem = context.state.problem()
    planned = ground.plan(problem)
    if planned.route is None:
        why = planned.impasse.message if planned.impasse else ""
        return [*found, Finding("route", decision.chosen, "no route", why)]
    context.plans[decision.id] = planned.route.tools
    found += compared("route", decision.chosen, describe_route(planned.route), _why(decision, planned))
    if context.other:
        return found
    found += _figures(decision, planned, context.state.revision)
    listed = ground.pricer(problem, last_resort=planned.last_resort).route(planned.route)
    return found + compared_candidates(decision.candidates, listed)


def _agent_keys(context: ReplayContext) -> set[str]:
    """Keys for which an agent was selected so far; their demands may become known later."""
    return {d.subject for d in context.state.decisions if d.kind is DecisionKind.SELECT and d.subject}


def _why(decision: Decision, planned: Planned) -> str:
    assert planned.route is not None
    recorded = decision.facts.get("price")
    if not isinstance(recorded, int):
        return ""
    if recorded == planned.route.pico:
        return "both cost the same: ties break by price, then number of steps, then names"
    return f"${recorded / PICO:.9g} then, ${planned.route.price:.9g} now"


def _figures(decision: Decision, planned: Planned, revision: int) -> list[Finding]:
    route, facts = planned.route, decision.facts
    assert route is not None
    return [
        *compared("tools", tuple(facts.get("tools", ())), route.tools),
        *compared("price", facts.get("price"), route.pico, "in picodollars"),
        *compared("price", decision.price, route.price),
        *compared("abandoned effects", tuple(facts.get("abandons", ())), route.abandons),
        *compared("last resort", bool(facts.get("last_resort", False)), planned.last_resort),
        *compared("revision", facts.get("revision"), revision),
    ]


def compared_candidates(recorded: tuple[Candidate, ...], recomputed: tuple[Candidate, ...]) -> list[Finding]:
    """Compare the candidates with their prices and price facts."""
    found = compared("candidates", tuple(c.name for c in recorded), tuple(c.name for c in recomputed))
    for then, now in zip(recorded, recomputed, strict=False) if not found else ():
        found += compared(f"price of {then.name}", then.price, now.price)
        found += compared(f"facts of {then.name}", then.facts, now.facts)
    return found


def _answers(context: ReplayContext, decision: Decision) -> list[Finding]:
    """A reroute answers every failure except those of effects being settled, the last one all; other plans answer
    none.
    """
    last = "prices" not in decision.facts
    left = tuple(context.state.unanswered) if last else context.state.to_answer
    wanted = left if decision.kind is DecisionKind.REROUTE else ()
    if decision.kind is DecisionKind.ROUTE and context.state.unanswered:
        return [Finding("kind", "route", "reroute", f"unanswered: {', '.join(context.state.unanswered)}")]
    return compared("answers", decision.answers, wanted)


def _left_over(context: ReplayContext) -> list[Finding]:
    """A failure that came too late to matter."""
    return [] if context.state.reached else [Finding("route", "nothing more to do", "the goal was not reached")]


def check_select(context: ReplayContext, decision: Decision) -> list[Finding]:
    """Check that an agent belongs to the chosen route and that its rivals are priced by the same facts.

    The counted competence is recomputed from the estimate of each, the run's turn, and, with exploration, its
    posterior.
    """
    within = check_within(decision)
    if within is not None:
        return within
    plan = context.decided(str(decision.facts.get("plan")))
    if plan is None:
        return [Finding("plan", str(decision.facts.get("plan")), "there is no such decision before it")]
    tools = context.plans.get(plan.id, plan.chosen_tools)
    key = decision.subject or ""
    givers = [name for name in tools if name in context.view.nodes and key in context.view.nodes[name].gives]
    found = [] if decision.chosen in givers else [Finding("agent", decision.chosen, ", ".join(givers) or "nobody")]
    if context.other:
        return found
    ground = RecordedPlan.of(plan.facts, context.view, context.policy)
    pricer = ground.pricer(context.state.problem(), last_resort=bool(plan.facts.get("last_resort", False)))
    rivals = [name for name in context.view.producers(key) if name in {c.name for c in decision.candidates}]
    listed = pricer.agents(rivals)
    found += compared_candidates(decision.candidates, listed)
    found += _judged(context, decision)
    price = next((c.price for c in listed if c.name == decision.chosen), None)
    return found + compared("price", decision.price, price)


def _judged(context: ReplayContext, decision: Decision) -> list[Finding]:
    """Compare the counted competence of each rival."""
    explored: Mapping[str, Any] | None = decision.facts.get("exploration")
    explore = RecordedExploration(**explored) if explored else None
    priced = {c.name: c.facts.competence for c in decision.candidates if c.facts is not None}
    found: list[Finding] = []
    for name, row in decision.facts.get("judged", {}).items():
        judged, turn = Judged.from_json(name, row), context.state.turn or ExplorationRound()
        now = counted_again(judged, decision.facts["demand"], turn, explore)
        for then in (judged.counted, priced.get(name, judged.counted)):
            if not math.isclose(then, now, abs_tol=1e-9):
                found.append(
                    Finding(
                        f"competence of {name}", readable_thing(then), readable_thing(now), f"in turn {turn.number}"
                    )
                )
    return found


def check_within(decision: Decision) -> list[Finding] | None:
    """Check a choice within a call against the recorded votes; `None` for a choice that was made by a plan."""
    if "consensus" in decision.facts:
        return _consensus(decision, decision.facts["consensus"])
    if "panel" in decision.facts:
        return compared("set", decision.chosen, " + ".join(decision.facts["panel"]["answered"]))
    return None if "plan" in decision.facts or "call" not in decision.facts else []


def _consensus(decision: Decision, recorded: dict[str, Any]) -> list[Finding]:
    votes = Votes.from_json(recorded["votes"])
    decided_by, place = votes.elected
    found = compared("sigma", recorded["sigma"], votes.probes.sigma)
    found += compared("mode", recorded["mode"], str(votes.mode))
    found += compared("decided by", recorded["decided_by"], decided_by)
    asked = [c for c in decision.candidates if not c.reason.startswith("left out")]
    probes = len(asked) - votes.asked
    ok = [c.name for c in asked if c.reason != "gave no answer"]
    of_probes = [c.name for c in asked[:probes] if c.reason != "gave no answer"]
    in_order = [*ok[len(of_probes) :], *of_probes]
    if decided_by == "judge":
        return found
    winner = "agreement" if decided_by == "agreement" else in_order[place]
    return found + compared("winner", decision.chosen, winner)
