"""Answers to waiting runs whose program is not loaded: checked against the record, and kept for a process that has
it."""

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
    """Tools of the graph that the run recorded and `graph` does not have. Raises `InputError` for a damaged record.

    With `other_version`, `graph` may be another version of the run's program: nothing is missing where it has some.
    """
    data = store.graph(_state(store, run_id).graph)
    names = [str(tool["name"]) for tool in data["tools"]] if data else []
    missing = [name for name in names if name not in graph]
    return [] if other_version and len(missing) < len(names) else missing


class QuestionNotOpen(InputError):
    """The run does not wait for an answer to that question."""


def open_questions(store: Store, run_id: str) -> list[tuple[Question, Impasse]]:
    """The questions that a run waits for, by its record, and what each is about. Raises `InputError`: it is damaged."""
    try:
        found = _state(store, run_id).questions.values()
        return [(Question.from_json(question), Impasse.from_json(impasse)) for question, impasse in found]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"The question of the run {run_id!r} cannot be read.") from None


def keep_answer(store: Store, run_id: str, answer: Any, by: str, question: str | None = None) -> None:
    """Put the answer into the store and the run into the queue: its program, or a worker of its project, continues.

    `question` is the id of the one that it answers, else the first. Raises `QuestionNotOpen` for a run or a question
    that does not wait, and `InputError` for what is no answer to it.
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
