"""Events as attributes of spans: compact, cut to size, never a value of the run."""

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.util.types import AttributeValue

from orchestrator.agents.models.providers import provider_name
from orchestrator.core import conventions as names
from orchestrator.core.decision import Decision
from orchestrator.core.enums import PLANNING, QUESTION_KINDS, PartKind
from orchestrator.core.events import (
    CallEnded,
    CallStarted,
    DemandTold,
    PartEnded,
    RunEnded,
    RungAsked,
    RunStarted,
    SignalRaised,
    WorkJudged,
)
from orchestrator.core.failure import Failure
from orchestrator.core.text import plain, shortened

Attributes = dict[str, AttributeValue]

MAX_TEXT: Final = 500
"""Characters of a reason, a message or a name."""
MAX_ITEMS: Final = 64
"""Candidates, tools or keys that one attribute lists."""
MAX_TRACEBACK: Final = 8000


def brief(text: str, limit: int = MAX_TEXT) -> str:
    """One line of at most `limit` characters."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text  # nearly all names are so, and they are many
    return plain(text, limit)


def short_texts(items: Iterable[str]) -> tuple[str, ...]:
    """At most `MAX_ITEMS` short texts."""
    return tuple(brief(item, 200) for item in list(items)[:MAX_ITEMS])


def of_start(event: RunStarted, goal: str) -> Attributes:
    """The attributes of a run's span at its start."""
    found: Attributes = {
        names.GOAL: short_texts(event.goal.get("keys", (goal,))),
        names.POLICY: str(event.policy.get("name", "")),
        names.GRAPH_REVISION: event.revision,
        names.GRAPH_DIGEST: event.graph,
    }
    if event.parent:
        found[names.RUN_PARENT] = event.parent
    return found


def of_end(event: RunEnded) -> Attributes:
    """The attributes of a run's span at its end."""
    found: Attributes = {
        names.RUN_STATUS: str(event.status),
        names.GOAL_REACHED: short_texts(event.goal),
        names.RUN_COST: event.cost,
        names.RUN_SECONDS: event.seconds,
        names.RUN_LLM_CALLS: event.llm_calls,
    }
    if event.price is not None:
        found[names.RUN_PRICE] = event.price
    if event.compensated:
        found[names.RUN_COMPENSATED] = short_texts(event.compensated)
    if event.uncompensated:
        found[names.RUN_UNCOMPENSATED] = short_texts(event.uncompensated)
    return found


def of_judgement(event: WorkJudged) -> Attributes:
    """The attributes of a judgement: judge, agent, result and cost."""
    found: Attributes = {
        names.SPAN_KIND: names.EVALUATOR,
        names.RUN_ID: event.run_id,
        names.AGENT_NAME: brief(event.tool),
        names.JUDGED_BY: brief(event.by),
        names.JUDGED_COST: event.cost,
    }
    if event.good is not None:
        found |= {names.JUDGED_GOOD: event.good, names.JUDGED_WEIGHT: event.weight}
    if event.problem:
        found[names.ERROR_TYPE] = brief(event.problem)
    return found


def of_evaluation(event: WorkJudged) -> Attributes:
    """A judgement as the evaluation event of the GenAI conventions."""
    found: Attributes = {names.EVALUATION_NAME: brief(event.by)}
    if event.good is not None:
        found |= {names.EVALUATION_SCORE: float(event.good), names.EVALUATION_LABEL: "good" if event.good else "bad"}
    if event.problem:
        found[names.ERROR_TYPE] = brief(event.problem)
    return found


def of_labels(labels: Mapping[str, str]) -> Attributes:
    """The labels of a run, and the attributes by which viewers group: session, user, conversation."""
    found: Attributes = {
        names.LABEL + brief(key, 60): brief(value) for key, value in sorted(labels.items())[:MAX_ITEMS]
    }
    for attribute, keys in _GROUPS.items():
        value = next((labels[key] for key in keys if labels.get(key)), None)
        if value is not None:
            found[attribute] = brief(value)
    return found


_GROUPS: Final = {
    names.SESSION_ID: ("session", "session_id", "session.id"),
    names.USER_ID: ("user", "user_id", "user.id", "customer"),
    names.CONVERSATION_ID: ("conversation", "conversation_id", names.CONVERSATION_ID, "thread", "session"),
}
"""Attribute -> the labels that give it, the first that the run has."""


def of_part(event: PartEnded) -> Attributes:
    """A call within a call."""
    found: Attributes = {names.CALL_COST: event.cost}
    if event.kind is PartKind.MEMBER:
        found |= {
            names.SPAN_KIND: names.AGENT,
            names.OPERATION: names.INVOKE_AGENT,
            names.AGENT_NAME: brief(event.part),
        }
    else:
        found |= {names.SPAN_KIND: names.TOOL, names.OPERATION: names.EXECUTE_TOOL, names.TOOL_NAME: brief(event.part)}
    if event.failure is not None:
        found[names.ERROR_TYPE] = str(event.failure)
    if event.left_out:
        found[names.EVENT_REASON] = brief(event.left_out)
    return found


def of_demand(event: DemandTold) -> Attributes:
    """A model that was asked what a step demands."""
    found: Attributes = {
        names.SPAN_KIND: names.LLM,
        names.OPERATION: names.CHAT,
        names.PROVIDER: provider_name(None, event.model),
        names.REQUEST_MODEL: brief(event.model),
        names.LLM_MODEL: brief(event.model),
        names.LLM_TOKENS: event.tokens,
        names.CALL_COST: event.cost,
        names.EVENT_KEY: brief(event.key),
    }
    if event.problem:
        found[names.ERROR_TYPE] = brief(event.problem)
    return found


def span_name(decision: Decision) -> str:
    """`plan` for a decision that chooses a route, its kind for any other."""
    return names.PLAN if decision.kind in PLANNING else str(decision.kind)


def of_decision(decision: Decision, *, revision: int, policy: str) -> Attributes:
    """The attributes of a decision: choice, candidates, reason."""
    found: Attributes = {
        names.SPAN_KIND: names.DECISION,
        names.DECISION_ID: decision.id,
        names.DECISION_KIND: str(decision.kind),
        names.DECISION_CHOSEN: brief(decision.chosen),
        names.DECISION_REASON: brief(decision.reason),
        names.GRAPH_REVISION: revision,
        names.POLICY: policy,
    }
    if decision.kind in PLANNING:
        found[names.OPERATION] = names.PLAN
    # a question's text may quote values, so it stays in the record
    if decision.subject is not None and decision.kind not in QUESTION_KINDS:
        found[names.DECISION_SUBJECT] = brief(decision.subject)
    if decision.price is not None:
        found[names.DECISION_PRICE] = decision.price
    if decision.answers:
        found[names.DECISION_ANSWERS] = short_texts(decision.answers)
    if decision.candidates:
        shown = decision.candidates[:MAX_ITEMS]
        prices = [names.UNUSABLE_PRICE if each.price is None else each.price for each in shown]
        found[names.CANDIDATES] = tuple(brief(each.name) for each in shown)
        found[names.CANDIDATE_PRICES] = tuple(prices)
    return found


def of_step(event: CallStarted) -> Attributes:
    """The span of a logical step."""
    found: Attributes = {
        names.SPAN_KIND: names.AGENT if event.agent else names.TOOL,
        names.OPERATION: names.INVOKE_AGENT if event.agent else names.EXECUTE_TOOL,
        names.AGENT_NAME if event.agent else names.TOOL_NAME: event.tool,
        names.CALL_EFFECT: str(event.effect),
    }
    if not event.agent:
        found[names.TOOL_TYPE] = "function"
        found[names.OI_TOOL_NAME] = event.tool
    if event.via is not None:
        found[names.CALL_VIA] = event.via
    return found


def of_attempt(event: CallStarted) -> Attributes:
    """The span of one attempt."""
    found: Attributes = {
        names.SPAN_KIND: names.CHAIN,
        names.ATTEMPT_NUMBER: event.attempt,
        names.TOOL_CALL_ID: event.call_id,
        names.AGENT_NAME if event.agent else names.TOOL_NAME: event.tool,
    }
    if event.probe:
        found[names.CALL_PROBE] = True
    return found


def of_result(event: CallEnded) -> Attributes:
    """The attributes of an attempt at its end."""
    found: Attributes = {names.CALL_COST: event.cost}
    if event.cancelled:
        found[names.CALL_CANCELLED] = True
    if event.asked:
        found[names.CALL_ASKED] = True
    if event.reconciled:
        found[names.CALL_RECONCILED] = True
    for name, amount in sorted(event.usage.items())[:MAX_ITEMS]:
        found[names.USAGE + brief(name, 60)] = amount
    return found


def of_usage(usage: Mapping[str, float]) -> Attributes:
    """The tokens that a step used over all its attempts, by their conventional names."""
    return {attribute: int(usage[name]) for name, attribute in _TOKENS.items() if usage.get(name)}


_TOKENS: Final = {"input_tokens": names.INPUT_TOKENS, "output_tokens": names.OUTPUT_TOKENS}


def of_failure(failure: Failure) -> Attributes:
    """The failure of an attempt."""
    return {
        names.ERROR_TYPE: str(failure.kind),
        names.FAILURE_ID: failure.id,
        names.FAILURE_KIND: str(failure.kind),
    }


def of_exception(failure: Failure) -> Attributes:
    """The exception behind a failure. Its texts were redacted when it was recorded, so they have no argument values."""
    found: Attributes = {
        names.EXCEPTION_TYPE: failure.error_type or str(failure.kind),
        names.EXCEPTION_MESSAGE: brief(failure.message),
    }
    if failure.traceback:
        found[names.EXCEPTION_STACKTRACE] = shortened(failure.traceback, MAX_TRACEBACK)
    return found


def of_signal(event: SignalRaised) -> Attributes:
    """The signal of a monitor."""
    return {
        names.SPAN_KIND: names.GUARDRAIL,
        names.SIGNAL_TARGET: brief(event.target),
        names.SIGNAL_KIND: event.kind,
        names.SIGNAL_ACTION: event.action,
        names.SIGNAL_PRIORITY: event.priority,
        names.SIGNAL_REASON: brief(event.reason),
        names.SIGNAL_MONITOR: event.monitor,
        names.SIGNAL_FACTOR: event.factor,
    }


def of_rung(event: RungAsked) -> Attributes:
    """The question to a rung of the ladder, and its answer."""
    found: Attributes = {
        names.SPAN_KIND: names.LLM if event.model else names.CHAIN,
        names.RUNG_NAME: event.rung,
        names.RUNG_ANSWER: brief(event.answer),
        names.RUNG_ADMITTED: event.admitted,
    }
    if event.model:
        found |= {
            names.OPERATION: names.CHAT,
            names.PROVIDER: provider_name(None, event.model),
            names.REQUEST_MODEL: event.model,
            names.LLM_MODEL: event.model,
            names.LLM_TOKENS: event.tokens,
            names.RUNG_CALLS: event.calls,
            names.RUNG_REPAIRS: event.repairs,
            names.RUNG_COST: event.cost,
        }
    return found
