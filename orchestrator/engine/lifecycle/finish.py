"""Finishes a run: compensates or lists the effects that the outcome does not use, and builds the outcome."""

from typing import Any

from orchestrator.core.enums import DecisionKind, Effect, Status
from orchestrator.core.events import RunEnded
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.route import Impasse
from orchestrator.engine.run import Run
from orchestrator.engine.state import RunState
from orchestrator.engine.steps.compensate import can_be_undone, compensate_effect
from orchestrator.escalation import Question

from .child_effects import undo_below


async def close(run: Run) -> Outcome[Any]:
    """Compensate what the outcome does not use, emit `RunEnded`, and return the outcome."""
    state = run.state
    reached = state.reached and run.cancelled is None and run.impasse is None
    status = (Status.DEMOTED if state.lowered else Status.REACHED) if reached else Status.ESCALATED
    _answer_what_is_left(run, reached=reached)
    await _compensate(run, state.standing(state.goal if reached else ()), reached=reached)
    await undo_below(run, reached=reached)
    _ended(run, status)
    return outcome_of(run)


def _ended(run: Run, status: Status) -> None:
    state = run.state
    reached = status is not Status.ESCALATED
    standing = [tool for tool in state.effects if tool in state.standing(state.goal if reached else ())]
    in_flight = [name for name, doing in state.doing.items() if doing.effect is not Effect.READ]
    below = state.left_below(reached=reached)
    left = dict.fromkeys([*standing, *state.doubt, *in_flight, *state.invalid, *state.uncompensated, *below])
    run.emit(
        RunEnded(
            **run.stamp(),
            status=status,
            goal=state.goal if reached else state.wanted.keys,
            price=state.planned_price,
            cost=state.cost,
            seconds=max(0.0, run.runtime.clock.time() - state.started_at),
            llm_calls=state.llm_calls,
            compensated=tuple(state.compensated),
            uncompensated=tuple(left),
            impasse=None if reached or run.impasse is None else run.impasse.to_json(),
        )
    )


def end_as_it_stands(run: Run) -> Outcome[Any]:
    """End a run without undoing anything; every effect that stands or may stand is listed."""
    state = run.state
    _answer_what_is_left(run, reached=False)
    impasse = Impasse(state.goal, (), (), reason=run.cancelled or "It was given up.", kind="cancelled")
    run.stop_at(impasse)
    _ended(run, Status.ESCALATED)
    return outcome_of(run)


def _answer_what_is_left(run: Run, *, reached: bool) -> None:
    """Answer failures that came too late to matter, such as those of a write that was no longer needed."""
    if not run.state.unanswered:
        return
    run.decide(
        DecisionKind.REROUTE if reached else DecisionKind.HALT,
        "nothing more to do" if reached else "stop",
        reason="the goal was reached without it" if reached else "the run ends here",
        answers=tuple(run.state.unanswered),
        facts={"tools": []},
    )


async def _compensate(run: Run, standing: list[str], *, reached: bool) -> None:
    lost = [name for name in standing if not run.values.has_output(name)]
    facts: dict[str, Any] = {"reached": reached, **({"without_output": lost} if lost else {})}
    for name in standing:
        tool = run.view.tools.get(name) or run.runtime.graph.view().tools.get(name)
        if tool is None or not can_be_undone(tool) or not run.values.has_output(name):
            continue
        if name in run.state.uncompensated:  # an attempt was made, and its answer was lost with its process
            continue
        await compensate_effect(run, tool, run.values.output(name), "the outcome does not use it", facts)


def _compensated_in_tree(state: RunState) -> list[str]:
    """Labels of the effects that were undone, those of children first."""
    return [*(label for child in state.children.values() for label in child.compensated), *state.compensated]


def _tool_of(label: str) -> str:
    return label.rpartition("#")[2]


def outcome_of(run: Run) -> Outcome[Any]:
    """The outcome of a run in its current state."""
    state = run.state
    reached = state.status in (Status.REACHED, Status.DEMOTED)
    impasse = Impasse.from_json(state.impasse) if state.impasse else None
    questions: tuple[Any, ...] = ()
    if state.status is Status.WAITING:
        questions = tuple(Question.from_json(question) for question, _ in state.questions.values())
    return Outcome(
        status=state.status,
        goal=_reached_goal(state.wanted, state.goal) if reached else state.wanted,
        values=dict(run.values.values),
        run_id=state.run_id,
        trace_id=run.trace_id,
        route=run.route or run.first_route,
        calls=tuple(state.calls),
        failures=tuple(state.failures.values()),
        decisions=tuple(state.decisions),
        compensated=tuple(_tool_of(label) for label in _compensated_in_tree(state)),
        uncompensated=tuple(_tool_of(label) for label in state.uncompensated),
        children=tuple(run.child_outcomes[child] for child in state.children if child in run.child_outcomes),
        labels=dict(state.labels),
        impasse=None if reached else impasse,
        questions=questions,
        price=state.planned_price,
        cost=state.cost,
        seconds=state.seconds,
        usage=dict(state.usage),
        llm_calls=state.llm_calls,
        error=run.error,
    )


SUMMARISED = 100
"""Maximum number of tools that the summary of a run names."""


def summary(outcome: Outcome[Any]) -> dict[str, Any]:
    """The summary of a run for lists of runs."""
    question = outcome.questions[0] if outcome.questions else None
    waits = (
        {
            "asked_at": question.asked_at,
            "rung": question.rung,
            "questions": len(outcome.questions),
            "not_storable": list(question.not_storable),
        }
        if question
        else None
    )
    return {
        "route": list(outcome.route.tools) if outcome.route else [],
        "tools": list(dict.fromkeys(call.tool for call in outcome.calls))[:SUMMARISED],
        "failed": sorted({str(failure.kind) for failure in outcome.failures}),
        "calls": len(outcome.calls),
        "failures": len(outcome.failures),
        "reroutes": sum(decision.kind == "reroute" for decision in outcome.decisions),
        "cost": outcome.cost,
        "seconds": outcome.seconds,
        "llm_calls": outcome.llm_calls,
        "question": question.text if question else None,
        "waits": waits,
        "impasse": outcome.impasse.message if outcome.impasse else None,
    }


def _reached_goal(wanted: Goal[Any], keys: tuple[str, ...]) -> Goal[Any]:
    """The goal with these keys: the one that was asked for, or one of its lesser goals."""
    if wanted.keys == keys:
        return wanted
    for lesser in wanted.demotions:
        found = _reached_goal(lesser, keys)
        if found.keys == keys:
            return found
    return Goal(keys)
