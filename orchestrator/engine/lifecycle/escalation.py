"""Escalating: an impasse climbs the ladder once, and what comes of it is one decision."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.enums import CircuitState, DecisionKind, Effect, Status
from orchestrator.core.events import (
    WITHDRAWN,
    BudgetRaised,
    GoalLowered,
    RungAsked,
    RunResumed,
    RunWaiting,
    ToolAllowed,
    ToolExcluded,
    ValueProvided,
)
from orchestrator.core.goal import Goal
from orchestrator.core.route import Blame, Candidate, Impasse, LesserGoal
from orchestrator.core.types.schema import type_name, validate
from orchestrator.engine.pending import CallQuestion
from orchestrator.engine.planning import planning
from orchestrator.engine.planning.planning import Planned
from orchestrator.engine.planning.replan import follow_graph, plan_for
from orchestrator.engine.run import OpenQuestion, Run
from orchestrator.engine.state import ASKS_ONLY
from orchestrator.engine.steps.compensate import can_be_undone
from orchestrator.engine.values import describe_values
from orchestrator.escalation import (
    ANSWER,
    AskHuman,
    Climb,
    Means,
    ModelUsage,
    Question,
    RefusedAnswer,
    Resolution,
    ResolutionKind,
    Router,
    climb,
    interpret_answer,
    resolution_at_deadline,
)


async def wait_for(run: Run, tool: str | None, seconds: float) -> None:
    """Wait at most so long. A tool whose circuit is shut is back when that opens; any other is given all the time."""
    health, clock = run.runtime.health, run.runtime.clock
    shut = tool is not None and tool in run.view.tools and not health.usable(tool)

    def over() -> bool:
        return run.cancelled is not None or (shut and tool is not None and health.usable(tool))

    def look(targets: Iterable[Any]) -> None:
        if tool in targets:
            run.wake_up()

    forget = health.subscribe(look)
    time_over = asyncio.ensure_future(clock.sleep(seconds))
    try:
        while not over() and not time_over.done():
            run.wake.clear()
            woken = asyncio.ensure_future(run.wake.wait())
            try:
                await asyncio.wait({time_over, woken}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()
    finally:
        time_over.cancel()
        forget()


async def escalate_impasse(run: Run) -> bool:
    """Take the run's impasse to its ladder, once: whether the run goes on; False when it ends or waits (`asked`)."""
    return await _Escalation(run).escalate()


async def escalate_open(run: Run) -> bool:
    """Take every open step to the ladder and show every question of a call or a child; False when the run ends."""
    for base in list(run.open):
        if base in run.open and not any(asked.base is base for asked in run.asked.values()):
            known = set(run.asked)
            if not await _Escalation(run).escalate(base) and set(run.asked) == known:
                return False
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


def has_changed(run: Run) -> bool:
    """Whether what people are asked is no longer what a waiting run shows, or one of its calls has gone on."""
    shown_is_right = not (_withdrawn(run) or _not_shown(run) or _not_shown_of_children(run))
    return not shown_is_right or not run.scheduler.only_waits


def withdraw_questions(run: Run) -> None:
    """The run goes on without an answer: questions that nobody waits for are withdrawn, others are shown again."""
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
    """Whether somebody still waits for the answer: the call that asked, or the child whose question it is."""
    if asked.asking is not None:
        return asked.asking in run.pending.questions
    owner = asked.question.run or run.state.run_id
    if owner == run.state.run_id or run.scheduler is None:
        return True
    return any(asked.question.id in child.asked for child in run.children.values())


async def answered(run: Run) -> "tuple[bool, bool]":
    """Take a person's answer in: whether the run goes on, and whether its route still stands.

    Raises `InputError` for what is no answer.
    """
    question_id, raw, by = run.take_answer()
    asked = run.asked[question_id]
    return await _Escalation(run, asked.impasse, asked.base).answered(asked, raw, by)


def judged_now(run: Run, impasse: Impasse) -> Impasse:
    """The impasse as the graph is now: tools that were added since, and give what could not be had, count too."""
    if impasse.kind not in ("no_route", "progress"):
        return impasse
    view = run.runtime.graph.view()
    known = set(impasse.tools)
    added = [
        Blame(tool=name, reason="it was added meanwhile")
        for key in impasse.unreachable
        for name in view.producers(key)
        if name not in known
    ]
    return replace(impasse, blame=(*impasse.blame, *added)) if added else impasse


def validate_answer(run: Run, impasse: Impasse | None, key: str, value: Any) -> Any:
    """A value that somebody provides, as the type of its key. Raises `InvalidOutput`."""
    if impasse is not None and impasse.kind == "question":
        return value  # the call that asked knows its type
    return validate(key, run.view.key_type(key), value)


class _Escalation:
    """One impasse of a run on its way up the ladder, or its answer on its way back."""

    def __init__(self, run: Run, impasse: Impasse | None = None, base: Impasse | None = None) -> None:
        self.run = run
        self.impasse = impasse
        self.base = base
        """The entry of `Run.open` that it is about."""
        self._offered: tuple[Planned, ...] = ()
        """What the lesser goals were planned on."""

    async def escalate(self, base: Impasse | None = None) -> bool:
        run = self.run
        self.base = base
        self.impasse = impasse = self._impasse()
        if run.cancelled is not None or self._too_many(impasse):
            return self._halt(impasse)
        climbed = await self._climb(impasse, 0)
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
        self.impasse = impasse = self._described(
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
            )
        )
        self._wait(impasse, Climb(question=self._question_of_tool(impasse), by="call"), asking)

    def show(self, asked: OpenQuestion) -> None:
        """Show a child's question as it is."""
        self._shown(OpenQuestion(asked.impasse, asked.question), self._facts(asked.impasse, "call"))

    async def answered(self, asked: OpenQuestion, raw: Any, by: str) -> "tuple[bool, bool]":
        run, impasse, question = self.run, self.impasse, asked.question
        assert impasse is not None
        at = run.runtime.clock.time()
        if raw is None and question.due is not None and at >= question.due:
            resolution = resolution_at_deadline(question, impasse, validate=self.validate)
            said = f"nobody answered within {question.deadline:g} seconds"
        else:
            met = judged_now(run, impasse)
            resolution = interpret_answer(question, met, raw, validate=self.validate, by=by or None, at=at)
            said = f"answered by {by or 'a person'}"
        text = "a value" if self._is_answer(impasse, resolution) else resolution.text
        run.emit(RunResumed(**run.stamp(), policy=run.other_policy(), answer=text, by=by, question_id=question.id))
        run.decide(
            DecisionKind.RESUME,
            text,
            reason=said,
            subject=question.text,
            candidates=tuple(Candidate(choice, None) for choice in question.choices),
            facts={"resolution": resolution.to_json(content=False), "by": by},
        )
        run.asked.pop(question.id, None)
        if (question.run or impasse.run_id or run.state.run_id) != run.state.run_id:
            return True, run.scheduler is not None  # the child takes the answer itself
        if self._is_answer(impasse, resolution):
            return True, self._answer_call(impasse, asked.asking, resolution.value)
        return await self.apply(impasse, resolution, by_model=False), False

    def _is_answer(self, impasse: Impasse, resolution: Resolution) -> bool:
        return impasse.kind == "question" and resolution.kind is ResolutionKind.PROVIDE

    def _answer_call(self, impasse: Impasse, asking: CallQuestion | None, value: Any) -> bool:
        """Keep the answer, and hand it to the suspended call; False where that is lost and must be made again."""
        run, tool = self.run, impasse.subject
        assert tool is not None
        run.values.note_answer(tool, impasse.question or "", impasse.answer_type, value)
        self._settled()
        if asking is None or asking.answered.done():
            return False
        asking.answered.set_result(value)
        return True

    # -- the impasse -------------------------------------------------------------------------------------------------

    def _impasse(self) -> Impasse:
        run, state = self.run, self.run.state
        follow_graph(run)
        if run.cancelled is not None:
            base = Impasse(goal=state.goal, unreachable=(), blame=(), reason=run.cancelled, kind="cancelled")
        elif self.base is not None:
            base = self.base
        else:
            base = run.impasse or Impasse(goal=state.goal, unreachable=(), blame=(), reason="The run stands still")
        return self._described(base)

    def _described(self, base: Impasse) -> Impasse:
        run, state = self.run, self.run.state
        spent = bool(base.blame) and all(blame.tool in state.over_budget for blame in base.blame)
        return replace(
            base,
            kind="budget" if spent and base.kind == "no_route" else base.kind,
            blame=tuple(self._blame(blame) for blame in base.blame),
            at_hand=describe_values(run.values.values, state.at_hand),
            offers=() if base.kind == "ambiguous" else self._offers(),
            providable=state.wanted.providable,
            effects=self._effects(),
            budget_left=self._budget_left(),
            run_id=base.run_id or state.run_id,
        )

    def _blame(self, blame: Blame) -> Blame:
        """With how the tool is, and its last error: in this run, else in any."""
        run, name = self.run, blame.tool
        own = [failure.message for failure in run.state.failures.values() if failure.tool == name]
        if name not in run.view.tools:
            return replace(blame, last_error=own[-1] if own else blame.last_error)
        health = run.runtime.health.status(name)
        shut = health.circuit is CircuitState.OPEN
        return replace(
            blame,
            reason=f"{blame.reason}: {health.reason}" if shut and health.reason else blame.reason,
            last_error=own[-1] if own else blame.last_error or health.last_failure,
            health=f"circuit {health.circuit.replace('_', ' ')}, {health.failures} of {health.calls} calls failed",
        )

    def _offers(self) -> tuple[LesserGoal, ...]:
        run, state = self.run, self.run.state
        goals = [goal.keys for goal in lesser_goals(state.wanted, state.goal)]
        self._offered = tuple(plan_for(run, state.lowered_to(keys)) for keys in goals)
        return tuple(offer_of(keys, planned) for keys, planned in zip(goals, self._offered, strict=True))

    def _facts(self, impasse: Impasse, by: str, **more: Any) -> dict[str, Any]:
        """What the decision that answers an impasse is made from."""
        run = self.run
        facts: dict[str, Any] = {"impasse": impasse.kind, "by": by, "met": impasse.to_json(), **more}
        if impasse.offers:
            facts |= planning.plan_record(run.runtime, run.view, *self._offered)
        if impasse.kind in ("no_route", "budget") and run.plan is not None and run.plan.route is None:
            facts["no_route"] = planning.plan_record(run.runtime, run.view, run.plan)
        return facts

    def _effects(self) -> Mapping[str, str]:
        run = self.run
        told = {
            name: "undoable" if (tool := run.view.tools.get(name)) and can_be_undone(tool) else "standing"
            for name in run.state.effects
            if name not in run.state.compensated
        }
        return told | dict.fromkeys(run.state.doubt, "uncertain")

    def _budget_left(self) -> dict[str, float]:
        budget, left = self.run.state.budget, dict[str, float]()
        if budget.usd is not None:
            left["usd"] = max(0.0, budget.usd - self.run.account.spent())
        seconds = self.run.seconds_left()
        if seconds is not None:
            left["seconds"] = max(0.0, seconds)
        if budget.calls is not None:
            left["calls"] = max(0, budget.calls - self.run.account.calls())
        return left

    # -- the ladder --------------------------------------------------------------------------------------------------

    async def _climb(self, impasse: Impasse, start_at: int) -> Climb:
        return await climb(
            self.run.runtime.ladder,
            impasse,
            validate=self.validate,
            on_event=self._record_reply,
            start_at=start_at,
            means=self._means(),
        )

    def _means(self) -> Means:
        runtime = self.run.runtime
        router = Router(runtime.health, runtime.prices.pricing)
        return Means(clock=runtime.clock, contents=dict(self.run.values.values), router=router)

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
        """A tool's own question; the deadline is that of the ladder's first person."""
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
            note = f"(Only this process can go on: {', '.join(bound)} cannot be stored.)"
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
        """Put a question on record, and have the run wait."""
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
        return await self.apply(
            impasse, resolution, by_model=any(a.model for a in climbed.asked if a.rung == climbed.by)
        )

    def _too_many(self, impasse: Impasse) -> bool:
        """Approvals and questions were to be expected; they do not count."""
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

    # -- resolutions -------------------------------------------------------------------------------------------------

    async def apply(self, impasse: Impasse, resolution: Resolution, *, by_model: bool) -> bool:
        """Put an admitted resolution into effect; whether the run goes on."""
        run, stamp = self.run, self.run.stamp()
        tool = resolution.tool or resolution.what or impasse.subject
        match resolution.kind:
            case ResolutionKind.DEMOTE:
                run.emit(GoalLowered(**stamp, goal=resolution.goal))
            case ResolutionKind.PROVIDE:
                self._provide(impasse, resolution, by_model=by_model)
            case ResolutionKind.WAIT:
                await wait_for(run, tool, resolution.seconds or 0.0)
                self._allow(tool, forced=False)
            case ResolutionKind.APPROVE:
                self._approve(tool)
            case ResolutionKind.ALLOW:
                self._allow(tool, forced=True)
            case ResolutionKind.RAISE_BUDGET:
                self._raise_budget(resolution)
            case ResolutionKind.REPLAN:
                for name in impasse.tools:
                    self._allow(name, forced=False)
            case ResolutionKind.STOP:
                return self._stopped(impasse, resolution)
        self._settled()
        return True

    def _settled(self) -> None:
        self.run.stop_at(None)
        self.run.open[:] = [impasse for impasse in self.run.open if impasse is not self.base]

    def _stopped(self, impasse: Impasse, resolution: Resolution) -> bool:
        """A step that was not approved is left out, and another way is looked for; anything else ends the run."""
        run, tool = self.run, impasse.subject
        if impasse.kind == "approval" and tool is not None and tool not in run.state.done:
            run.emit(ToolExcluded(**run.stamp(), tool=tool, reason="it was not approved"))
            self._settled()
            return True
        said = f"Stopped: {resolution.message}" if resolution.message else ""
        reason = ". ".join(part for part in (impasse.reason.rstrip("."), said) if part)
        run.stop_at(replace(impasse, reason=reason))
        return False

    def _provide(self, impasse: Impasse, resolution: Resolution, *, by_model: bool) -> None:
        run, key = self.run, resolution.key
        assert key is not None
        settles = impasse.subject if impasse.kind == "ambiguous" else None
        value = self.validate(key, resolution.value)
        run.values.put(settles or "", {key: value}, run.view)
        by = "model" if by_model else resolution.by or "person"
        run.emit(ValueProvided(**run.stamp(), key=key, by=by, tainted=by_model, settles=settles))

    def _approve(self, tool: str | None) -> None:
        run = self.run
        if tool is None:
            return
        known = run.view.tools.get(tool)
        abandons = tool in run.state.done and known is not None and known.effect is not Effect.READ
        run.emit(ToolAllowed(**run.stamp(), tool=tool, approved=not abandons, abandon=abandons))

    def _allow(self, tool: str | None, *, forced: bool) -> None:
        if tool is not None:
            self.run.emit(ToolAllowed(**self.run.stamp(), tool=tool, forced=forced))

    def _raise_budget(self, resolution: Resolution) -> None:
        run, budget = self.run, self.run.state.budget
        raised = {
            name: None if getattr(budget, name) is None else getattr(budget, name) + (more or 0)
            for name, more in (("usd", resolution.usd), ("seconds", resolution.seconds), ("calls", resolution.calls))
        }
        run.emit(BudgetRaised(**run.stamp(), budget=raised))
        for tool in sorted(run.state.over_budget):
            self._allow(tool, forced=False)


def offer_of(goal: tuple[str, ...], planned: Planned) -> LesserGoal:
    """A lesser goal as it is offered: what it would cost, where it can be reached at all."""
    route = planned.route
    return LesserGoal(goal, route.price if route else None, route.tools if route else ())


def lesser_goals(goal: Goal[Any], now: tuple[str, ...]) -> list[Goal[Any]]:
    """The declared lesser goals that are left, best first: those after the one the run is at."""
    flat = list[Goal[Any]]()

    def walk(one: Goal[Any]) -> None:
        for lesser in one.demotions:
            flat.append(lesser)
            walk(lesser)

    walk(goal)
    keys = [lesser.keys for lesser in flat]
    return flat[keys.index(now) + 1 :] if now in keys else flat


__all__ = [
    "answered",
    "escalate_impasse",
    "escalate_open",
    "has_changed",
    "judged_now",
    "lesser_goals",
    "offer_of",
    "validate_answer",
    "wait_for",
    "withdraw_questions",
]
