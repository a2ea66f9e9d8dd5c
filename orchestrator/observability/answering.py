"""Answers to waiting runs whose program is not at hand: checked against the record, and kept for whoever has it."""

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


def keep_answer(store: Store, run_id: str, answer: Any, by: str) -> None:
    """Put the answer into the store and the run into the queue: its program, or a worker of its project, goes on.

    Raises `InputError` for a run that does not wait, and for what is no answer to its question.
    """
    state = _state(store, run_id)
    if state.question is None or state.impasse is None:
        raise InputError(f"The run {run_id!r} does not wait for an answer.")
    try:
        question, impasse = Question.from_json(state.question), Impasse.from_json(state.impasse)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"The question of the run {run_id!r} cannot be read.") from None
    interpret_answer(question, impasse, answer, by=by)
    kept = json.dumps({"answer": answer, "by": by, "question": question.id}, ensure_ascii=False)
    if not store.queue.answer(run_id, kept):
        raise InputError(f"The run {run_id!r} does not wait for an answer any more.")


def _state(store: Store, run_id: str) -> RunState:
    try:
        return fold(run_id, store.records(run_id))
    except (KeyError, ValueError, TypeError):
        raise InputError("The record of this run is damaged, so that nobody can go on with it.") from None


__all__ = ["keep_answer", "missing_tools"]
