"""`Question`: the question of a waiting run to a person, and the interpretation of the answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from orchestrator.core.errors import InputError
from orchestrator.core.route import Impasse

from .admissibility import PERSON_RIGHTS, Validate, check_resolution
from .options import Hole, Option, options_for
from .resolution import Resolution, ResolutionKind

NO_NEED_OF_A_PERSON: Final = frozenset(
    {ResolutionKind.DEMOTE, ResolutionKind.PROVIDE, ResolutionKind.WAIT, ResolutionKind.STOP}
)
"""Kinds that may be a default: approving and allowing always need a person."""
_YES: Final = frozenset({"yes", "y", "true", "ok", "approve", "approved"})
_NO: Final = frozenset({"no", "n", "false", "decline", "declined"})


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a waiting run."""

    text: str
    choices: tuple[str, ...] = ()
    """The possible answers, as a numbered list (from 1)."""
    admissible: tuple[ResolutionKind, ...] = ()
    """The kinds of resolution that answer it."""
    deadline: float | None = None
    """Seconds after which the default applies; `None`: the run waits until it is answered."""
    default: Resolution | None = None
    """The answer at the deadline; without one the run stops."""
    key: str | None = None
    """The key that a plain value answers; `None` when the question asks for no value."""
    answer_type: str | None = None
    """The name of that value's type, for people."""
    asked_at: float | None = None
    """Seconds since the epoch."""
    rung: str = ""
    """The rung that asks."""
    id: str = ""
    """Id of the question, so that a late answer to an earlier question is not applied to this one."""
    run: str = ""
    """The run that asks, which may be a child of the one that shows the question."""
    step: str = ""
    """The tool that it is about."""
    about: str = ""
    """What it is about, in words: why it is asked."""
    not_storable: tuple[str, ...] = ()
    """Keys whose values cannot be stored: only the process that drives the run can continue with an answer."""

    def asked(self, at: float, id: str = "") -> "Question":
        """The question with its name and the time (seconds since the epoch) at which it was asked."""
        return replace(self, asked_at=at, id=id or self.id)

    @property
    def due(self) -> float | None:
        """When the default holds, in seconds since the epoch; `None` for never."""
        if self.deadline is None or self.asked_at is None:
            return None
        return self.asked_at + self.deadline

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records and viewers."""
        return {
            "text": self.text,
            "choices": list(self.choices),
            "admissible": [str(kind) for kind in self.admissible],
            "deadline": self.deadline,
            "default": self.default.to_json() if self.default else None,
            "key": self.key,
            "answer_type": self.answer_type,
            "asked_at": self.asked_at,
            "rung": self.rung,
            "id": self.id,
            **{name: value for name in ("run", "step", "about") if (value := getattr(self, name))},
            **({"not_storable": list(self.not_storable)} if self.not_storable else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Question":
        """The question that `to_json` wrote."""
        return cls(
            text=data["text"],
            choices=tuple(data["choices"]),
            admissible=tuple(ResolutionKind(kind) for kind in data["admissible"]),
            deadline=data["deadline"],
            default=Resolution.from_json(data["default"]) if data["default"] else None,
            key=data["key"],
            answer_type=data["answer_type"],
            asked_at=data["asked_at"],
            rung=data["rung"],
            id=data["id"],
            run=data.get("run", ""),
            step=data.get("step", ""),
            about=data.get("about", ""),
            not_storable=tuple(data.get("not_storable", ())),
        )


def interpret_answer(
    question: Question,
    impasse: Impasse,
    raw: Any,
    *,
    validate: Validate | None = None,
    by: str | None = None,
    at: float | None = None,
) -> Resolution:
    """What a person's answer means: a `Resolution`, its JSON, `{"choice": n, "value": ...}`, the number of a choice,
    yes or no where something is to be approved, or the value that the question asked for.

    `by` and `at` (seconds since the epoch) say who answered and when. Raises `InputError` listing what is accepted.
    """
    made = _read(question, impasse, raw)
    if made is None:
        raise InputError(f"That is no answer to the question. {accepted(question, impasse)}")
    if question.admissible and made.kind not in question.admissible:
        raise InputError(f"The question does not leave that open: {made.text}. {accepted(question, impasse)}")
    asked_by = by or "a person"
    taken, refused = check_resolution(made, impasse, PERSON_RIGHTS, asked_by=asked_by, validate=validate)
    if refused is not None and made.kind is ResolutionKind.PROVIDE and isinstance(made.value, str):
        typed = replace(made, value=_from_json_text(made.value))  # what a person typed may be JSON
        taken, refused = check_resolution(typed, impasse, PERSON_RIGHTS, asked_by=asked_by, validate=validate)
    if refused is not None:
        raise InputError(f"That answer is not possible: {refused}. {accepted(question, impasse)}")
    return taken.answered(by, at)


def resolution_at_deadline(question: Question, impasse: Impasse, *, validate: Validate | None = None) -> Resolution:
    """The resolution after the deadline: the default if it is admissible, else stop."""
    made = question.default
    if made is not None and made.kind in NO_NEED_OF_A_PERSON and impasse.kind != "ambiguous":
        taken, refused = check_resolution(made, impasse, PERSON_RIGHTS, asked_by="the default", validate=validate)
        if refused is None:
            return taken.answered("default", question.due)
    limit = "" if question.deadline is None else f" within {question.deadline:g} seconds"
    return Resolution.stop(f"no answer{limit}").answered("default", question.due)


def accepted(question: Question, impasse: Impasse) -> str:
    """What may be answered, in one line."""
    parts: list[str] = []
    if question.key is not None:
        parts.append(f"a value ({question.answer_type})" if question.answer_type else "a value")
    if impasse.kind == "approval":
        parts.append("yes or no")
    lines = [f"{number} {choice}" for number, choice in enumerate(question.choices, 1)]
    if lines:
        parts.append(f"the number of a choice: {'; '.join(lines)}")
    return "Answer with " + ", or ".join(parts or ["a Resolution"]) + "."


def choices_of(question: Question, impasse: Impasse) -> tuple[Option, ...]:
    """The options behind the numbers of the question's choices."""
    kinds = question.admissible or tuple(PERSON_RIGHTS)
    return tuple(option for option in options_for(impasse, PERSON_RIGHTS) if option.kind in kinds)


def _read(question: Question, impasse: Impasse, raw: Any) -> Resolution | None:
    if isinstance(raw, Resolution):
        return raw
    typed = _from_json_text(raw) if isinstance(raw, str) and raw.lstrip().startswith("{") else raw
    made = _read_mapping(question, impasse, typed)
    if made is not None:
        return made
    if impasse.kind == "approval":
        return _read_approval(question, impasse, raw)
    if question.key is not None:
        return None if raw is None else Resolution.provide(question.key, raw)
    return _read_choice(question, impasse, raw)


def _read_mapping(question: Question, impasse: Impasse, raw: Any) -> Resolution | None:
    if not isinstance(raw, Mapping):
        return None
    data: Mapping[Any, Any] = raw  # pyright: ignore[reportUnknownVariableType]
    if data.get("kind") in tuple(ResolutionKind):
        return Resolution.from_json(data)
    if "choice" in data and set(data) <= {"choice", "value", "message"}:
        number = data["choice"]
        if isinstance(number, int) and not isinstance(number, bool):
            return _chosen(question, impasse, number, data)
    return None


def _read_approval(question: Question, impasse: Impasse, raw: Any) -> Resolution | None:
    word = raw.strip().lower() if isinstance(raw, str) else raw
    if word is True or (isinstance(word, str) and word in _YES):
        return Resolution.approve(impasse.subject or "")
    if word is False or (isinstance(word, str) and word in _NO):
        return Resolution.stop("not approved")
    return _read_choice(question, impasse, raw)


def _read_choice(question: Question, impasse: Impasse, raw: Any) -> Resolution | None:
    """A number, or what a person typed: `2`, `2 some value`, `stop`."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return _chosen(question, impasse, raw, {})
    if not isinstance(raw, str):
        return None
    number, _, rest = raw.strip().partition(" ")
    if number.lower() == "stop":
        return Resolution.stop(rest.strip())
    if number.isascii() and number.isdigit() and len(number) < 6:
        return _chosen(question, impasse, int(number), {"value": rest.strip()} if rest.strip() else {})
    return None


def _chosen(question: Question, impasse: Impasse, number: int, data: Mapping[Any, Any]) -> Resolution | None:
    options = choices_of(question, impasse)
    if not 1 <= number <= len(options):
        return None
    option = options[number - 1]
    value = data.get("value")
    if option.hole is not Hole.NONE and "value" not in data:
        raise InputError(f"Choice {number} ({option.text}) needs a value: {number} VALUE.")
    if option.hole in (Hole.SECONDS, Hole.AMOUNT) and isinstance(value, str):
        value = _number(value)
    return option.fill(value, str(data.get("message", "")))


def _from_json_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _number(text: str) -> Any:
    try:
        return int(text) if text.strip().isdigit() else float(text)
    except ValueError:
        return text


def is_refusal(raw: Any) -> bool:
    """Whether an answer only ends the run: a no, or a resolution to stop."""
    if isinstance(raw, Mapping):
        raw = cast("Mapping[str, Any]", raw).get("kind")
    if isinstance(raw, Resolution):
        raw = raw.kind
    return raw is False or (isinstance(raw, str) and (raw == ResolutionKind.STOP or raw.strip().lower() in _NO))
