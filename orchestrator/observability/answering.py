"""Answers waiting runs whose program is not loaded: checks the answer against the record and stores it for a process
that has the program.
"""

import json
from typing import Any

from orchestrator.core.errors import InputError
from orchestrator.core.route import Impasse
from orchestrator.engine.lifecycle.recovery import fold
from orchestrator.engine.state import RunState
from orchestrator.escalation.question import Question, interpret_answer
from orchestrator.graph.graph import ToolGraph
from orchestrator.store.protocol import Store


def missing_tools(store: Store, run_id: str, graph: ToolGraph, *, other_version: bool = False) -> list[str]:
    """Tools of the run's recorded graph that `graph` does not have. Raises `InputError` for a damaged record.

    With `other_version`, `graph` may be another version of the run's program: nothing counts as missing if it has some
    of the tools.
    """
    data = store.graph(_state(store, run_id).graph)
    names = [str(tool["name"]) for tool in data["tools"]] if data else []
    missing = [name for name in names if name not in graph]
    return [] if other_version and len(missing) < len(names) else missing


class QuestionNotOpen(InputError):
    """The run does not wait for an answer to that question."""


def open_questions(store: Store, run_id: str) -> list[tuple[Question, Impasse]]:
    """The open questions of a run and their impasses, from its record. Raises `InputError` for a damaged record."""
    try:
        found = _state(store, run_id).questions.values()
        return [(Question.from_json(question), Impasse.from_json(impasse)) for question, impasse in found]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"The question of the run {run_id!r} cannot be read.") from None


def keep_answer(store: Store, run_id: str, answer: Any, by: str, question: str | None = None) -> None:
    """Store the answer and queue the run: its program, or a worker of its project, continues it.

    `question`: the id of the answered question; default: the first. Raises `QuestionNotOpen` for a run or a question
    that does not wait, and `InputError` for an invalid answer.
    """
    found = {each.id: (each, impasse) for each, impasse in open_questions(store, run_id)}
    if not found:
        raise QuestionNotOpen(f"The run {run_id!r} does not wait for an answer.")
    chosen = next(iter(found)) if question is None else question
    if chosen not in found:
        known = ", ".join(found)
        raise QuestionNotOpen(f"The run {run_id!r} has no open question {chosen!r}. Open: {known}.")
    interpret_answer(*found[chosen], answer, by=by)
    kept = json.dumps({"answer": answer, "by": by, "question": chosen}, ensure_ascii=False)
    if not store.queue.answer(run_id, kept):
        raise QuestionNotOpen(f"The run {run_id!r} does not wait for an answer any more.")


def _state(store: Store, run_id: str) -> RunState:
    try:
        return fold(run_id, store.records(run_id))
    except (KeyError, ValueError, TypeError):
        raise InputError("The record of this run is damaged, so that no process can continue it.") from None


__all__ = ["QuestionNotOpen", "keep_answer", "missing_tools", "open_questions"]
