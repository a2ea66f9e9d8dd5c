"""Shows the outcome of a run to people and to programs."""

import json
from pathlib import Path
from typing import Any

from rich.text import Text

from orchestrator.core.enums import Status
from orchestrator.core.errors import StoreError
from orchestrator.core.outcome import Outcome
from orchestrator.core.text import counted, duration, plain, plain_lines, shortened, usd
from orchestrator.observability.explain.summary import Tried, healed, trail
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow

from .invocation import command
from .screen import debugging, exit_of, plain_json, say

DURABLE_SECONDS = 5.0
"""Seconds that the end of a run waits until its record is committed."""
READS = ("--project", "--policy")
"""Options that read-only commands do not have."""
ARROW = " → "
REJECTED = "ensure rejected the output: "
"""Prefix of an error that a trail leaves out, because the cross shows it."""
MARKS = {
    Status.REACHED: ("✓", "green"),
    Status.DEMOTED: ("◐", "yellow"),
    Status.ESCALATED: ("✗", "red"),
    Status.WAITING: ("?", "cyan"),
    Status.RUNNING: ("…", "dim"),
    Status.QUEUED: ("…", "dim"),
}


def durable(store: Store, run_id: str) -> RunRow | None:
    """The row of a run after its record is committed, with the head; `None` if the store is unreachable."""
    try:
        store.flush(DURABLE_SECONDS)
        return store.run(run_id)
    except StoreError:
        return None


def run_json(outcome: Outcome[Any], given: str | None = None, row: RunRow | None = None) -> dict[str, Any]:
    """An outcome for programs, as documented in docs/reference/cli.md. `given` is the value of the key of --each."""
    ok = outcome.ok
    return {
        "schema": "orchestrator.run/1",
        "run_id": outcome.run_id,
        "status": str(outcome.status),
        "exit_status": int(exit_of(outcome.status)),
        **({} if given is None else {"each": given}),
        "goal": list(outcome.goal.keys),
        "value": plain_json(outcome.value) if ok and _has_value(outcome) else None,
        "route": list(outcome.route.tools) if outcome.route else [],
        "tried": [each.to_json() for each in trail(outcome.calls)],
        "failures": [
            {"id": f.id, "tool": f.tool, "kind": str(f.kind), "message": f.message, "attempt": f.attempt}
            for f in outcome.failures
        ],
        "decisions": [
            {
                "id": d.id,
                "kind": str(d.kind),
                "chosen": d.chosen,
                "price": d.price,
                "reason": d.reason,
                "answers": list(d.answers),
            }
            for d in outcome.decisions
        ],
        "compensated": list(outcome.compensated),
        "uncompensated": list(outcome.uncompensated),
        "impasse": outcome.impasse.message if outcome.impasse else None,
        "questions": [
            {"id": q.id, "run": q.run, "step": q.step, "text": q.text, "choices": list(q.choices)}
            for q in outcome.questions
        ],
        "price": outcome.price,
        "cost": outcome.cost,
        "seconds": outcome.seconds,
        "llm_calls": outcome.llm_calls,
        "trace_id": outcome.trace_id,
        "ledger": None if row is None else {"count": row.count, "head": row.head},
    }


def _has_value(outcome: Outcome[Any]) -> bool:
    """Whether the value is available: the values of an ended run may have been deleted."""
    return all(key in outcome.values for key in outcome.goal.keys)


def value_text(value: Any) -> str:
    """A value as text for people: text and paths unchanged, everything else as JSON."""
    if isinstance(value, str):
        return plain_lines(value)
    if isinstance(value, Path):
        return plain(value)
    return plain_lines(json.dumps(plain_json(value), ensure_ascii=False, indent=2))


def trail_text(tried: tuple[Tried, ...], about: str = "", limit: int = 48) -> Text:
    """`pypdf ✗ no words in it → pdfminer ✗ → ocr ✓`; without a failure only the names.

    An error is shown once, without the name that it is `about`, and cut to `limit` characters.
    """
    text, shown = Text(), set[str]()
    marked = healed(tried)
    for index, each in enumerate(tried):
        text.append(ARROW if index else "", "dim")
        text.append(plain(each.tool))
        if each.error:
            text.append(" ✗", "red" if not each.ok else "yellow")
            error = _short_error(each.error, about)
            if error not in shown:
                text.append(f" {shortened(error, limit)}", "dim")
                shown.add(error)
        if each.ok and marked:
            text.append(" ✓" if each.attempts == 1 else f" ✓ at attempt {each.attempts}", "green")
    return text


def _short_error(error: str, about: str) -> str:
    """An error without the parts that the line shows anyway: the rejection of the output, and the file."""
    error = plain(error.removeprefix(REJECTED))
    for beginning in (f"{about} is ", f"{about}: ", f"{about} ") if about else ():
        error = error.removeprefix(beginning)
    return error


def status_line(outcome: Outcome[Any]) -> Text:
    """How a run ended, in one line."""
    mark, style = MARKS[outcome.status]
    goal = plain(outcome.goal.name)
    result = {
        Status.REACHED: f"{goal} reached",
        Status.DEMOTED: f"demoted: {goal} reached instead",
        Status.ESCALATED: f"{goal} was not reached",
        Status.WAITING: f"{goal} waits for a person",
        Status.RUNNING: f"{goal} has not ended",
        Status.QUEUED: f"{goal} is queued",
    }[outcome.status]
    text = Text.assemble((f"{mark} ", style), (result, f"bold {style}"))
    planned = f" (planned price {usd(outcome.price)})" if outcome.price is not None else ""
    parts = [duration(outcome.seconds), f"{usd(outcome.cost)} spent{planned}", counted(len(outcome.calls), "call")]
    if outcome.failures:
        parts.append(counted(len(outcome.failures), "failure"))
    return text.append("  " + " · ".join(parts), "dim")


def show_outcome(outcome: Outcome[Any], row: RunRow | None = None) -> None:
    """Show the end of a run: its status, the reason of an escalation, its values, and the head of its ledger."""
    say(status_line(outcome))
    asked = any(q.text == outcome.impasse.message for q in outcome.questions) if outcome.impasse else False
    if outcome.impasse is not None and not outcome.ok and not asked:
        say(Text(f"  {plain(outcome.impasse.message)}"))
    for tool in outcome.compensated:
        say(Text(f"  undone: {plain(tool)}", "dim"))
    for tool in outcome.uncompensated:
        say(Text(f"  not undone, or uncertain: {plain(tool)}", "yellow"))
    show_questions(outcome)
    for failure in outcome.failures if debugging() else ():
        say(Text(f"  {plain(failure.id)} {plain(failure.tool)}: {plain_lines(failure.traceback)}", "dim"))
    say(Text(f"  why: {command('why', outcome.run_id, but=READS)}", "dim"))
    if row is not None:
        say(Text(f"  ledger: {counted(row.count, 'record')}, head {plain(row.head)}", "dim"))
    if outcome.ok and _has_value(outcome):
        say()
        say(Text(value_text(outcome.value)))


def show_questions(outcome: Outcome[Any]) -> None:
    """Show the questions of a waiting run, and the commands that answer them."""
    for question in outcome.questions:
        say(Text(f"  {plain(question.text)}", "bold"))
        for number, choice in enumerate(question.choices, 1):
            say(Text(f"    {number}  {plain(choice)}"))
        named = ("--question", question.id) if len(outcome.questions) > 1 else ()
        say(Text(f"  answer: {command('resume', outcome.run_id, 'ANSWER', *named)}", "dim"))
