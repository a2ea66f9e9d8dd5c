"""Parses the bodies of requests within limits, and builds error responses."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator.core.enums import Status
from orchestrator.core.text import clean
from orchestrator.core.types.schema import explain
from orchestrator.escalation.question import Question

from .access import LARGEST_BODY, READ_SECONDS


class Submission(BaseModel):
    """A request for a run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    goal: str | list[str]
    """The key of the goal, or several."""
    demotions: list[str] = Field(default_factory=list[str])
    """Lesser goals, best first."""
    inputs: dict[str, Any] = Field(default_factory=dict[str, Any])
    run_id: str | None = None
    """A used id refers to its run."""
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    priority: int = Field(default=0, ge=-1000, le=1000)
    delay: float = Field(default=0.0, ge=0.0, le=366 * 86_400.0)
    """Seconds until a worker may claim it."""
    budget: float | None = Field(default=None, ge=0.0)
    """US dollars."""


class AnswerBody(BaseModel):
    """The answer to a run's question."""

    model_config = ConfigDict(extra="forbid", strict=True)

    answer: Any
    question: str | None = Field(default=None, max_length=200)
    """The id of the answered question; needed only if several are open."""
    by: str = Field(default="", max_length=200)


class Submitted(BaseModel):
    """A run that was submitted, answered or cancelled."""

    run_id: str


class ShownQuestion(BaseModel):
    """What a run waits for."""

    id: str
    """The id by which an answer refers to it."""
    run: str
    """The run that asks: this one, or a child of it."""
    step: str
    """The tool that it is about."""
    text: str
    about: str
    """Why it is asked."""
    choices: list[str]
    """What may be answered, by number from 1; empty where a value is asked for."""
    key: str | None
    """The key whose value is asked for."""
    answer_type: str | None
    """The type of that value."""
    due: float | None
    """When the default applies, in seconds since the epoch; null: it waits until it is answered."""

    @classmethod
    def of(cls, question: Question, run_id: str) -> "ShownQuestion":
        """A question of a run as clients see it."""
        return cls(
            id=question.id,
            run=question.run or run_id,
            step=question.step,
            text=question.text,
            about=question.about,
            choices=list(question.choices),
            key=question.key,
            answer_type=question.answer_type,
            due=question.due,
        )


class NotAnswered(BaseModel):
    """Why an answer was rejected, and which questions are open."""

    error: str
    questions: list[ShownQuestion] = Field(default_factory=list[ShownQuestion])


class ShownRun(BaseModel):
    """A run in a list."""

    run_id: str
    goal: str
    status: Status
    started: float
    """Seconds since the epoch."""
    ended: float | None
    labels: dict[str, str]
    attempts: int
    """Number of workers that died while they drove it since it last made progress."""
    set_aside: bool
    """Whether it was set aside: no worker claims it until it is queued again."""
    left: str
    """Why a worker left it to others; empty if none did."""


class ShownRuns(BaseModel):
    """Runs, newest first."""

    runs: list[ShownRun]


class ShownOutcome(ShownRun):
    """A run, with its outcome once it has records."""

    values: dict[str, Any] = Field(default_factory=dict[str, Any])
    questions: list[ShownQuestion] = Field(default_factory=list[ShownQuestion])
    cost: float = 0.0
    """US dollars."""
    uncompensated: list[str] = Field(default_factory=list[str])
    """Effects that stand although the outcome does not use them, or are uncertain."""


class RequestError(Exception):
    """A request that gets an error response."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: dict[str, str] | None = None,
        *,
        questions: Sequence[ShownQuestion] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.headers, self.questions = status, message, headers, questions

    def response(self) -> Response:
        """The response: JSON with one message, and the open questions if one of them has to be named."""
        body: dict[str, Any] = {"error": clean(self.message, 500)}
        if self.questions:
            body["questions"] = [question.model_dump() for question in self.questions]
        return JSONResponse(body, self.status, headers=self.headers)


async def read_body(request: Request, model: type[BaseModel]) -> Any:
    """Parse the body as the model. Raises `RequestError` for a body that is too large, too slow, no JSON, or
    invalid.
    """
    data = b""
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > LARGEST_BODY:
                    raise RequestError(413, f"a body has at most {LARGEST_BODY} bytes")
    except TimeoutError:
        raise RequestError(408, f"the body did not arrive within {READ_SECONDS:g} s") from None
    try:
        found = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise RequestError(400, "the body is not JSON") from None
    try:
        return model.model_validate(found)
    except (ValidationError, RecursionError) as error:
        problem = explain(error) if isinstance(error, ValidationError) else "it is nested too deeply"
        raise RequestError(422, problem) from None


__all__ = ["AnswerBody", "RequestError", "ShownOutcome", "ShownRuns", "Submission", "Submitted", "read_body"]
