"""Escalation: passes each impasse to the rungs of the ladder once and records one decision."""

from dataclasses import replace
from typing import Any

from orchestrator.core.enums import DecisionKind, Status
from orchestrator.core.events import (
    WITHDRAWN,
    RungAsked,
    RunResumed,
    RunWaiting,
)
from orchestrator.core.route import Candidate, Impasse
from orchestrator.core.types.schema import type_name
from orchestrator.engine.interruption import Stopped, unless_stopped
from orchestrator.engine.planning import planning
from orchestrator.engine.planning.planning import Planned
from orchestrator.engine.planning.replan import follow_graph
from orchestrator.engine.run import Run
from orchestrator.engine.state import ASKS_ONLY
from orchestrator.engine.tree import CallQuestion, OpenQuestion
from orchestrator.escalation import (
    ANSWER,
    AskHuman,
    Climb,
    ModelUsage,
    Question,
    RefusedAnswer,
    Resolution,
    ResolutionKind,
    Router,
    RungContext,
    climb,
    interpret_answer,
    resolution_at_deadline,
)

from .impasses import described, impasse_now, judged_now
from .resolutions import apply_resolution, settled, validate_answer


async def escalate_impasse(run: Run) -> bool:
    """Pass the run's impasse to its ladder, once. Returns whether the run continues; False if it ends or waits
    (`asked`)."""
    return await _Escalation(run).escalate()


async def escalate_open(run: Run) -> bool:
    """Pass every open step to the ladder and show every question of a call or a child; False when the run ends."""
    for base in list(run.open):
        if base in run.open and not any(asked.base is base for asked in run.asked.values()):
            known = set(run.asked)
            if not await _Escalation(run).escalate(base) and set(run.asked) == known:
                return False
    _take_up(run)
    for question_id in _withdrawn(run):
        del run.asked[question_id]
        run.emit(RunResumed(**run.stamp(), answer=WITHDRAWN, question_id=question_id))
    for asking in _not_shown(run):
        _Escalation(run).ask_for_call(asking)
    for asked in _not_shown_of_children(run):
        _Escalation(run).show(asked)
    for question_id, asked in run.asked.items():
        if question_id not in run.state.questions or run.state.status is not Status.WAITING:
            run.emit(RunWaiting(**run.stamp(), question=asked.question.to_json(), impasse=asked.impasse.to_json()))
    return True


def _take_up(run: Run) -> None:
    """Keep the questions of lost calls open when the calls, made again, ask the same."""
    for asking in _not_shown(run):
        for question_id, asked in run.asked.items():
            if _is_of_lost_call(run, asked) and asking.asks(asked.impasse):
                run.asked[question_id] = replace(asked, asking=asking)
                break


def _is_of_lost_call(run: Run, asked: OpenQuestion) -> bool:
    owner = asked.question.run or run.state.run_id
    return asked.impasse.kind == "question" and asked.asking is None and owner == run.state.run_id


def has_changed(run: Run) -> bool:
    """Whether a waiting run shows other questions than are open now, or one of its calls has continued."""
    shown_is_right = not (_withdrawn(run) or _not_shown(run) or _not_shown_of_children(run))
    return not shown_is_right or not run.scheduler.only_waits


def withdraw_questions(run: Run) -> None:
    """Before the run continues without an answer: withdraw questions that no call waits for; others are shown again."""
    for question_id in _withdrawn(run):
        del run.asked[question_id]
    run.emit(RunResumed(**run.stamp(), answer=WITHDRAWN))


def _withdrawn(run: Run) -> list[str]:
    return [question_id for question_id, asked in run.asked.items() if not _still_open(run, asked)]


def _not_shown(run: Run) -> list[CallQuestion]:
    shown = {id(asked.asking) for asked in run.asked.values() if asked.asking is not None}
    return [each for each in run.pending.questions if id(each) not in shown and not each.answered.done()]


def _not_shown_of_children(run: Run) -> list[OpenQuestion]:
    children = [child for child in run.children.values() if child.waits]
    return [asked for child in children for key, asked in child.asked.items() if key not in run.asked]


def _still_open(run: Run, asked: OpenQuestion) -> bool:
    """Whether the call that asked, or the child whose question it is, still waits for the answer."""
    if asked.asking is not None:
        return asked.asking in run.pending.questions
    if run.scheduler is None:
        return True
    if (asked.question.run or run.state.run_id) == run.state.run_id:
        return not _is_of_lost_call(run, asked)
    return any(asked.question.id in child.asked for child in run.children.values())


async def answered(run: Run) -> "tuple[bool, bool]":
    """Apply a person's answer; returns whether the run continues, and whether its route is still valid.

    Raises `InputError` for an invalid answer.
    """
    question_id, raw, by = run.take_answer()
    asked = run.asked[question_id]
    return await _Escalation(run, asked.impasse, asked.base).answered(asked, raw, by)


class _Escalation:
    """The handling of one impasse: the ladder's rungs in order, then the resolution or a person's answer."""

    def __init__(self, run: Run, impasse: Impasse | None = None, base: Impasse | None = None) -> None:
        self.run = run
        self.impasse = impasse
        self.base = base
        """The entry of `Run.open` that the impasse is about."""
        self._offered: tuple[Planned, ...] = ()
        """The facts that the lesser goals were planned on."""

    async def escalate(self, base: Impasse | None = None) -> bool:
        run = self.run
        self.base = base
        impasse, self._offered = impasse_now(run, base)
        self.impasse = impasse
        if run.cancelled is not None or self._too_many(impasse):
            return self._halt(impasse)
        try:
            climbed = await self._climb(impasse, 0)
        except Stopped:
            return self._halt(impasse)
        if climbed.question is not None:
            return self._wait(impasse, climbed)
        if climbed.resolution is None and impasse.kind == "approval" and base is not None:
            question = await AskHuman()(impasse)
            return self._wait(impasse, Climb(question=question, by="approval"))
        return await self._resolve(impasse, climbed)

    def ask_for_call(self, asking: CallQuestion) -> None:
        """Show the question of a suspended call."""
        run = self.run
        follow_graph(run)
        impasse, self._offered = described(
            run,
            Impasse(
                goal=run.state.goal,
                unreachable=tuple(sorted(tool.gives)) if (tool := run.view.tools.get(asking.tool)) else (),
                blame=(),
                reason=f"{asking.tool} asks a person",
                kind="question",
                question=asking.text,
                answer_type=asking.wanted,
                run_id=run.state.run_id,
                subject=asking.tool,
            ),
        )
        self.impasse = impasse
        self._wait(impasse, Climb(question=self._question_of_tool(impasse), by="call"), asking)

    def show(self, asked: OpenQuestion) -> None:
        """Show a child's question unchanged; the child's own record has its impasse."""
        impasse = asked.impasse
        facts = {"impasse": impasse.kind, "by": "call", "met": impasse.to_json(), "shown": asked.question.run}
        self._shown(OpenQuestion(impasse, asked.question), facts)

    async def answered(self, asked: OpenQuestion, raw: Any, by: str) -> "tuple[bool, bool]":
        run, impasse, question = self.run, self.impasse, asked.question
        assert impasse is not None
        at = run.runtime.clock.time()
        if raw is None and question.due is not None and at >= question.due:
            resolution = resolution_at_deadline(question, impasse, validate=self.validate)
            reason = f"no answer within {question.deadline:g} seconds"
        else:
            met = judged_now(run, impasse)
            resolution = interpret_answer(question, met, raw, validate=self.validate, by=by or None, at=at)
            reason = f"answered by {by or 'a person'}"
        text = "a value" if self._is_answer(impasse, resolution) else resolution.text
        run.emit(RunResumed(**run.stamp(), policy=run.other_policy(), answer=text, by=by, question_id=question.id))
        run.decide(
            DecisionKind.RESUME,
            text,
            reason=reason,
            subject=question.text,
            candidates=tuple(Candidate(choice, None) for choice in question.choices),
            facts={"resolution": resolution.to_json(content=False), "by": by},
        )
        run.asked.pop(question.id, None)
        if (question.run or impasse.run_id or run.state.run_id) != run.state.run_id:
            return True, run.scheduler is not None  # the child applies the answer itself
        if self._is_answer(impasse, resolution):
            return True, self._answer_call(impasse, asked.asking, resolution.value)
        return await apply_resolution(run, impasse, resolution, subject=self.base), False

    def _is_answer(self, impasse: Impasse, resolution: Resolution) -> bool:
        return impasse.kind == "question" and resolution.kind is ResolutionKind.PROVIDE

    def _answer_call(self, impasse: Impasse, asking: CallQuestion | None, value: Any) -> bool:
        """Store the answer and pass it to the suspended call; False when that call is lost and must be made again."""
        run, tool = self.run, impasse.subject
        assert tool is not None
        run.values.note_answer(tool, impasse.question or "", impasse.answer_type, value)
        settled(run, self.base)
        if asking is None or asking.answered.done():
            return False
        asking.answered.set_result(value)
        return True

    def _facts(self, impasse: Impasse, by: str, **more: Any) -> dict[str, Any]:
        """The facts of the decision that answers an impasse."""
        run = self.run
        facts: dict[str, Any] = {"impasse": impasse.kind, "by": by, "met": impasse.to_json(), **more}
        if impasse.offers:
            facts |= planning.plan_record(run.runtime, run.view, *self._offered)
        if impasse.kind in ("no_route", "budget") and run.plan is not None and run.plan.route is None:
            facts["no_route"] = planning.plan_record(run.runtime, run.view, run.plan)
        return facts

    # -- the ladder --------------------------------------------------------------------------------------------------

    async def _climb(self, impasse: Impasse, start_at: int) -> Climb:
        """Ask the rungs; a cancellation ends that. Raises `Stopped`. The ladder itself keeps to the deadline."""
        asked = climb(
            self.run.runtime.ladder,
            impasse,
            validate=self.validate,
            on_event=self._record_reply,
            start_at=start_at,
            means=self._means(),
        )
        return await unless_stopped(self.run, asked, deadline=False)

    def _means(self) -> RungContext:
        runtime = self.run.runtime
        router = Router(runtime.health, runtime.prices.pricing)
        return RungContext(clock=runtime.clock, contents=dict(self.run.values.values), router=router)

    def validate(self, key: str, value: Any) -> Any:
        return validate_answer(self.run, self.impasse, key, value)

    def _record_reply(self, event: ModelUsage | RefusedAnswer) -> None:
        run = self.run
        if isinstance(event, RefusedAnswer):
            run.emit(RungAsked(**run.stamp(), rung=event.rung, answer=f"refused: {event.reason}", admitted=False))
            return
        run.emit(
            RungAsked(
                **run.stamp(),
                rung=event.rung,
                answer=event.answered or "; ".join(event.problems) or ("nothing usable" if event.calls else "passed"),
                admitted=event.admitted,
                model=event.model,
                calls=event.calls,
                repairs=event.repairs,
                tokens=event.input_tokens + event.output_tokens,
                cost=event.usd,
                seconds=event.seconds,
            )
        )

    def _question_of_tool(self, impasse: Impasse) -> Question:
        """The question that a tool asks; its deadline is that of the ladder's first `AskHuman`."""
        made = Question(text=impasse.question or impasse.message, key=ANSWER, answer_type=impasse.answer_type or None)
        person = next((rung for rung in self.run.runtime.ladder if isinstance(rung, AskHuman)), None)
        if person is None:
            return made
        holds = person.default if person.default is not None and person.default.key == ANSWER else None
        return replace(made, deadline=person.deadline, default=holds, rung=person.name)

    def _wait(self, impasse: Impasse, climbed: Climb, asking: CallQuestion | None = None) -> bool:
        run, question = self.run, climbed.question
        assert question is not None
        if question.key is not None and question.answer_type is None and question.key in run.view.keys:
            question = replace(question, answer_type=type_name(run.view.key_type(question.key)))
        if bound := run.values.bound_to_process(run.state.at_hand, run.state.effects):
            note = f"(Only this process can continue: {', '.join(bound)} cannot be stored.)"
            question = replace(question, text=f"{question.text} {note}", not_storable=tuple(bound))
        number = f"q{len(run.state.decisions) + 1}"
        own_id = f"{run.state.run_id}:{number}" if run.parent is not None or run.state.parent else number
        question = replace(
            question.asked(run.runtime.clock.time(), own_id),
            run=run.state.run_id,
            step=impasse.subject or "",
            about=impasse.message,
        )
        self._shown(OpenQuestion(impasse, question, self.base, asking), self._facts(impasse, climbed.by))
        return False

    def _shown(self, asked: OpenQuestion, facts: dict[str, Any]) -> None:
        """Record a question and let the run wait for its answer."""
        run, question, impasse = self.run, asked.question, asked.impasse
        run.asked[question.id] = asked
        run.decide(
            DecisionKind.ESCALATE,
            "wait for a person",
            reason=impasse.message,
            answers=tuple(run.state.unanswered),
            candidates=tuple(Candidate(choice, None) for choice in question.choices),
            subject=question.text,
            facts=facts,
        )
        run.emit(RunWaiting(**run.stamp(), question=question.to_json(), impasse=impasse.to_json()))

    async def _resolve(self, impasse: Impasse, climbed: Climb) -> bool:
        resolution = climbed.resolution or Resolution.stop()
        demoting = resolution.kind is ResolutionKind.DEMOTE
        listed = [Candidate(" + ".join(offer.goal), offer.price, "a lesser goal") for offer in impasse.offers]
        self.run.decide(
            DecisionKind.DEMOTE if demoting else DecisionKind.ESCALATE,
            " + ".join(resolution.goal) if demoting else resolution.text,
            reason=f"{impasse.message} {f'Answered by {climbed.by}' if climbed.by else 'No rung could help'}.",
            answers=tuple(self.run.state.unanswered),
            candidates=(*listed, Candidate("stop", None)),
            price=next((o.price for o in impasse.offers if demoting and o.goal == resolution.goal), None),
            facts=self._facts(
                impasse,
                climbed.by,
                resolution=resolution.to_json(content=False),
                refused=[refusal.to_json() for refusal in climbed.refused],
            ),
        )
        by_model = any(a.model for a in climbed.asked if a.rung == climbed.by)
        return await apply_resolution(self.run, impasse, resolution, subject=self.base, by_model=by_model)

    def _too_many(self, impasse: Impasse) -> bool:
        """Whether the run has met as many impasses as it may; approvals and questions do not count."""
        return impasse.kind not in ASKS_ONLY and self.run.state.impasses >= self.run.runtime.policy.max_impasses

    def _halt(self, impasse: Impasse) -> bool:
        cancelled = self.run.cancelled is not None
        if not cancelled:
            limit = self.run.runtime.policy.max_impasses
            impasse = replace(impasse, reason=f"The run has met as many impasses as its policy allows ({limit})")
        self.run.stop_at(impasse)
        self.run.decide(
            DecisionKind.HALT,
            "stop",
            reason=impasse.message,
            answers=tuple(self.run.state.unanswered),
            facts={"impasse": "cancelled" if cancelled else impasse.kind, "limit": not cancelled},
        )
        return False


__all__ = [
    "answered",
    "escalate_impasse",
    "escalate_open",
    "has_changed",
    "withdraw_questions",
]
