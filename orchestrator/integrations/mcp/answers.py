"""The outcome of a run as the result of an MCP tool: its value as text, and its decisions as data."""

import json
from typing import Any

import mcp_types as types
from pydantic_core import to_jsonable_python

from orchestrator.core.enums import Status
from orchestrator.core.outcome import Outcome
from orchestrator.core.text import plain, usd
from orchestrator.observability.explain.summary import trail


def call_result_of(outcome: Outcome[Any]) -> types.CallToolResult:
    """The result; an error if neither the goal nor a declared lesser one was reached."""
    return types.CallToolResult(
        content=[types.TextContent(text=_text(outcome))],
        structured_content=structured(outcome),
        is_error=outcome.status is Status.ESCALATED,
    )


def refusal(text: str) -> types.CallToolResult:
    """The result of a call that could not be run."""
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)


def structured(outcome: Outcome[Any]) -> dict[str, Any]:
    """A run as data: its status, its value, and every decision with its reason."""
    made: dict[str, Any] = {
        "run_id": outcome.run_id,
        "status": str(outcome.status),
        "goal": list(outcome.goal.keys),
        "value": _json(_value(outcome)),
        "why": outcome.impasse.message if outcome.impasse is not None and not outcome.ok else None,
        "route": list(outcome.route.tools) if outcome.route else [],
        "tried": [each.to_json() for each in trail(outcome.calls)],
        "decisions": [
            {"id": d.id, "kind": str(d.kind), "chosen": d.chosen, "price": d.price, "reason": d.reason}
            for d in outcome.decisions
        ],
        "compensated": list(outcome.compensated),
        "uncompensated": list(outcome.uncompensated),
        "cost": outcome.cost,
        "seconds": outcome.seconds,
        "llm_calls": outcome.llm_calls,
    }
    if outcome.questions:
        made["questions"] = [{"text": q.text, "choices": list(q.choices)} for q in outcome.questions]
        made["answer_with"] = f"orchestrator resume {outcome.run_id}"
    return made


def _text(outcome: Outcome[Any]) -> str:
    match outcome.status:
        case Status.REACHED:
            first = _shown(_value(outcome))
        case Status.DEMOTED:
            first = f"Only the lesser goal {outcome.goal.name} could be reached:\n{_shown(_value(outcome))}"
        case Status.WAITING:
            asked = outcome.questions[0].text if outcome.questions else "an answer"
            first = f"The run waits for a person: {asked} A person answers with: orchestrator resume {outcome.run_id}"
        case _:
            first = outcome.impasse.message if outcome.impasse is not None else f"The run is {outcome.status}."
    tools = outcome.route.tools if outcome.route else ()
    route = f" by {plain(' → '.join(tools), 300)}" if tools else ""
    return f"{first}\n\n[run {outcome.run_id}: {outcome.status}{route}, {usd(outcome.cost)}]"


def _value(outcome: Outcome[Any]) -> Any:
    """The value; `None` where there is none, or its run ended long ago and values are not kept."""
    if not outcome.ok or any(key not in outcome.values for key in outcome.goal.keys):
        return None
    return outcome.value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_json(value), ensure_ascii=False, indent=1)


def _json(value: Any) -> Any:
    return to_jsonable_python(
        value, inf_nan_mode="strings", bytes_mode="base64", fallback=lambda thing: f"<{type(thing).__name__}>"
    )
