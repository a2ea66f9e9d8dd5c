"""Asking at a terminal: the question is shown, and what is typed is read until it is an answer."""

from collections.abc import Callable

from orchestrator.core.errors import InputError
from orchestrator.core.route import Impasse
from orchestrator.escalation.admissibility import Validate
from orchestrator.escalation.question import Question, interpret_answer
from orchestrator.escalation.resolution import Resolution

from .channels import question_text


def ask_on_terminal(
    question: Question,
    impasse: Impasse,
    *,
    validate: Validate | None = None,
    by: str | None = None,
    read: Callable[[str], str] = input,
    write: Callable[[str], object] = print,
) -> Resolution | None:
    """What a person answers; `None` when the input ends first. An answer that is not possible is asked for again."""
    write(question_text(question, impasse))
    while True:
        try:
            line = read("> ")
        except EOFError:
            return None
        if not line.strip():
            continue
        try:
            return interpret_answer(question, impasse, line.strip(), validate=validate, by=by)
        except InputError as error:
            write(str(error))
