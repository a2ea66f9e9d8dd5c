"""`Interpreter`: turns a text into a goal and inputs, by examples, by a model where these are unsure, or asks back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orchestrator.agents.models.accounting import ModelUsage
from orchestrator.agents.models.client import Consultant, Consultation
from orchestrator.agents.models.parse import RawAnswer, Unusable, parse, unpacked, whole_number
from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.errors import DefinitionError, InputError, nearest
from orchestrator.core.goal import Goal
from orchestrator.core.text import clean
from orchestrator.core.types.schema import type_name, validate
from orchestrator.graph.revision import GraphRevision

from . import prompt
from .extraction import extract
from .needs import needs_of
from .neighbours import Neighbours

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


@dataclass(frozen=True, slots=True)
class Guess:
    """A goal that the text may mean."""

    goal: Goal[Any]
    score: float
    """In [0, 1]: how near the nearest example is."""


@dataclass(frozen=True, slots=True)
class Request:
    """A goal and inputs, or a question back. Nothing has run."""

    text: str
    goal: Goal[Any] | None
    """`None` when it is not clear what is wanted; then `question` asks."""
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Values found in the text, by key, as the key's type."""
    missing: tuple[str, ...] = ()
    """Keys that the goal needs and the text does not give, all of them."""
    confidence: float = 0.0
    """In [0, 1]."""
    question: str | None = None
    """What to ask back; `None` when the request can be run as it is."""
    candidates: tuple[Guess, ...] = ()
    """Goals that come into question, likeliest first."""
    by: str = "examples"
    """What decided: `examples`, `model`, or `nobody`."""
    asked: ModelUsage | None = None
    """The usage of the model; `None` when none was asked."""

    @property
    def ready(self) -> bool:
        """Whether it can be run: `orc.run(request.goal, request.inputs)`."""
        return self.goal is not None and not self.missing


G = TypeVar("G", bound=str | Goal[Any])
MAX_TEXT: Final = 20_000
"""Characters of a request that are read."""
SHOWN: Final = 5
"""Candidates in a question."""


class Interpreter:
    """Finds the goal of a request by examples.

    `examples` are texts for each goal; a few, in the words of those who ask, are enough. `model` is asked only where
    the examples are unsure: a LangChain chat model, a string, or several. `threshold`, in [0, 1], is the confidence
    below which they are. Raises `DefinitionError` for a goal without examples and a threshold that is none.
    """

    def __init__(
        self,
        examples: Mapping[G, str | Iterable[str]],
        model: "BaseChatModel | str | Sequence[BaseChatModel | str] | None" = None,
        *,
        threshold: float = 0.45,
        timeout: float = 30.0,
        usd_per_million: Mapping[str, tuple[float, float]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.goals = tuple(Goal.of(goal) for goal in examples)
        self.examples = tuple((given,) if isinstance(given, str) else tuple(given) for given in examples.values())
        self.threshold = _checked(threshold, self.goals, self.examples)
        self.timeout = timeout
        self._consultant = None if model is None else Consultant(model, usd_per_million)
        self._clock = clock or SystemClock()
        self._neighbours = Neighbours([(place, text) for place, texts in enumerate(self.examples) for text in texts])

    async def interpret(self, text: str, view: GraphRevision, at_hand: Mapping[str, Any] | None = None) -> Request:
        """The goal and inputs that the text requests of this graph, given the values at hand. Runs nothing.

        Raises `InputError` for an empty text, and for a goal that no tool of the graph gives.
        """
        read = self.read(text, view, at_hand)
        if read.goal is not None or self._consultant is None:
            return read
        return await self._by_model(self._consultant, read, view, at_hand or {})

    def read(self, text: str, view: GraphRevision, at_hand: Mapping[str, Any] | None = None) -> Request:
        """As `interpret`, by the examples alone."""
        if not text.strip():
            raise InputError("There is no request to interpret: the text is empty.")
        text = text[:MAX_TEXT]
        self._check_goals(view)
        guesses = self._guesses(text)
        confidence = _confidence([guess.score for guess in guesses])
        if confidence < self.threshold:
            likely = tuple(guess for guess in guesses if guess.score >= guesses[0].score / 2)[:SHOWN]
            return Request(text, None, confidence=confidence, question=_which(likely), candidates=likely, by="nobody")
        found = extract(text, self._keys(guesses[0].goal, view, at_hand or {}))
        request = Request(text, guesses[0].goal, confidence=confidence, candidates=guesses[:SHOWN])
        return _completed(request, found, view, at_hand or {})

    def _guesses(self, text: str) -> tuple[Guess, ...]:
        scores = self._neighbours.scores(text)
        ordered = sorted(scores, key=lambda place: (-round(scores[place], 9), self.goals[place].name))
        return tuple(Guess(self.goals[place], round(scores[place], 6)) for place in ordered)

    def _keys(self, goal: Goal[Any], view: GraphRevision, at_hand: Mapping[str, Any]) -> dict[str, Any]:
        needs = needs_of(view, goal.keys, at_hand)
        return {key: view.key_type(key) for key in (*needs.required, *needs.optional)}

    def _check_goals(self, view: GraphRevision) -> None:
        for goal in self.goals:
            for key in goal.keys:
                if not view.producers(key):
                    raise InputError(f"No tool gives {key!r}, which is asked for.{nearest(key, view.keys)}")

    async def _by_model(
        self, consultant: Consultant, unsure: Request, view: GraphRevision, at_hand: Mapping[str, Any]
    ) -> Request:
        wanted = [self._keys(goal, view, at_hand) for goal in self.goals]
        described = [
            (goal.name, texts, {key: type_name(annotation) for key, annotation in keys.items()})
            for goal, texts, keys in zip(self.goals, self.examples, wanted, strict=True)
        ]
        user = prompt.user(unsure.text, described)

        def read(answer: RawAnswer) -> tuple[int, dict[str, Any]]:
            data = parse(answer)
            value = unpacked(data.get("value"))
            values: dict[str, Any] = {**value} if isinstance(value, dict) else {}
            return whole_number(data.get("choice"), 0, len(self.goals)), values

        def again(_answer: RawAnswer, problem: Unusable) -> str:
            return f"{user}\n\nYour previous answer could not be used: {clean(str(problem), 300)}. Answer again."

        question = Consultation(prompt.SYSTEM, user, prompt.schema(len(self.goals)), read, again)
        done = await consultant.consult(question, "interpret", self._clock, self.timeout)
        choice, values = done.value or (0, {})
        if choice == 0:
            return replace(unsure, asked=done.asked)
        goal, keys = self.goals[choice - 1], wanted[choice - 1]
        found = {**_stated(unsure.text, keys, values), **extract(unsure.text, keys)}
        request = Request(unsure.text, goal, confidence=unsure.confidence, candidates=unsure.candidates, by="model")
        return replace(_completed(request, found, view, at_hand), asked=done.asked)


def _confidence(scores: Sequence[float]) -> float:
    """How sure the nearest example makes: it is near, and nearer than any example of another goal.

    The similarity of the first, plus its lead over the second; with a threshold of 0.45 it parted right from wrong on
    the requests that tests/test_intent.py holds out.
    """
    first = scores[0] if scores else 0.0
    second = scores[1] if len(scores) > 1 else 0.0
    return round(min(1.0, max(0.0, first + (first - second))), 6)


def _completed(request: Request, found: Mapping[str, Any], view: GraphRevision, at_hand: Mapping[str, Any]) -> Request:
    """The request with its inputs, and with what is still missing asked for, all at once."""
    assert request.goal is not None
    missing = needs_of(view, request.goal.keys, {**at_hand, **found}).required
    question = None
    if missing:
        named = ", ".join(f"{key} ({type_name(view.key_type(key))})" for key in missing)
        question = f"To get {request.goal.name}, please give: {named}."
    return replace(request, inputs=dict(found), missing=missing, question=question)


def _stated(text: str, keys: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a model's answer that the text itself states, as the types of their keys."""
    found: dict[str, Any] = {}
    for key, annotation in keys.items():
        value = values.get(key)
        if value is None or isinstance(value, bool | dict | list) or str(value).casefold() not in text.casefold():
            continue
        try:
            found[key] = validate(key, annotation, value)
        except Exception:
            continue
    return found


def _which(guesses: Sequence[Guess]) -> str:
    names = [guess.goal.name for guess in guesses]
    return (
        f"What do you want: {', '.join(names[:-1])} or {names[-1]}?" if len(names) > 1 else f"Do you want {names[0]}?"
    )


def _checked(threshold: float, goals: Sequence[Goal[Any]], examples: Sequence[Sequence[str]]) -> float:
    if not goals:
        raise DefinitionError(
            "An interpreter needs goals with examples: Interpreter({'brief': ['summarise this file']})."
        )
    for goal, texts in zip(goals, examples, strict=True):
        if not any(text.strip() for text in texts):
            raise DefinitionError(f"The goal {goal.name!r} has no examples: say how it is asked for, in a text or two.")
    if not 0 <= threshold <= 1:
        raise DefinitionError(f"The threshold of an interpreter is a confidence in [0, 1], not {threshold!r}.")
    return threshold
