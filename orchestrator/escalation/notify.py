"""Notifies people that a run waits: by webhook, on a terminal, through any callable; and asks on a terminal."""

import asyncio
import inspect
import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TextIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from typing_extensions import override

from orchestrator.core.calls.options import checked
from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.errors import DefinitionError, InputError
from orchestrator.core.events import Event, RunEnded, RunResumed, RunWaiting
from orchestrator.core.route import Impasse
from orchestrator.core.text import clean

from .admissibility import Validate
from .question import Question, interpret_answer
from .resolution import Resolution

Notify = Callable[[Question, Impasse], Any]
"""A plain or async callable that notifies people that a run waits. It is called once the question is on record."""
SECONDS: Final = 10.0
"""Time-out of one notification."""


def announcement(question: Question, impasse: Impasse) -> dict[str, Any]:
    """The content of a notification: names and texts, never values."""
    return {
        "event": "run_waiting",
        "run_id": impasse.run_id,
        "question_id": question.id,
        "question": question.text,
        "choices": list(question.choices),
        "kind": impasse.kind,
        "goal": list(impasse.goal),
        "subject": impasse.subject,
        "asked_at": question.asked_at,
        "due": question.due,
        "default": question.default.text if question.default else None,
        "answer_with": f"orchestrator resume {impasse.run_id}",
    }


class Webhook:
    """Posts the announcement as JSON to a URL. `headers` may hold a credential; `timeout` is in seconds.

    Redirects are not followed. Raises `DefinitionError` for a URL that is not http or https; a call raises `OSError`
    when the server cannot be reached or does not answer with a 2xx status.
    """

    @checked()
    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, timeout: float = 5.0) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise DefinitionError(f"A webhook is an http or https address, not {url!r}.")
        self._url = url
        self._headers = dict(headers or {})
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"Webhook({urlsplit(self._url).hostname!r})"  # the path and the headers may hold a secret

    async def __call__(self, question: Question, impasse: Impasse) -> None:
        """Post it."""
        await asyncio.to_thread(self._post, json.dumps(announcement(question, impasse)).encode())

    def _post(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json", **self._headers}
        request = Request(self._url, body, headers, method="POST")
        try:
            with build_opener(_NoRedirect).open(request, timeout=self._timeout):
                return
        except HTTPError as error:
            error.close()
            raise OSError(f"the webhook answered {error.code}") from None


class _NoRedirect(HTTPRedirectHandler):
    @override
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Terminal:
    """Prints the question, its choices, and how to answer. Default: to standard error."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out

    def __call__(self, question: Question, impasse: Impasse) -> None:
        """Print it."""
        print(question_text(question, impasse), file=self._out or sys.stderr)


def question_text(question: Question, impasse: Impasse) -> str:
    """The question as lines of plain text, safe for a terminal."""
    lines = [f"Run {clean(impasse.run_id, 80)} waits: {clean(question.text, 2000)}"]
    lines += [f"  {number}. {clean(choice)}" for number, choice in enumerate(question.choices, 1)]
    if question.key is not None:
        lines.append(f"  or a value for {clean(question.key, 80)}")
    if question.deadline is not None:
        default = question.default.text if question.default else "stop"
        lines.append(f"  Without an answer within {question.deadline:g} seconds: {clean(default)}.")
    return "\n".join((*lines, f"Answer with: orchestrator resume {clean(impasse.run_id, 80)}"))


async def announce(
    rungs: Iterable[object], question: Question, impasse: Impasse, clock: Clock | None = None
) -> tuple[str, ...]:
    """Send the notification through every channel of the rung that asks; returns the errors, raises nothing.

    A question that no rung asked (a tool's own, say) goes through the channels of all. Call it once the question is on
    record, so that it can be answered at once.
    """
    every = tuple(rungs)
    asking = tuple(rung for rung in every if getattr(rung, "name", None) == question.rung)
    ways: list[Notify] = [way for rung in asking or every for way in getattr(rung, "notify", ())]
    problems = await asyncio.gather(*(_send(way, question, impasse, clock or SystemClock()) for way in ways))
    return tuple(problem for problem in problems if problem)


async def _send(way: Notify, question: Question, impasse: Impasse, clock: Clock) -> str:
    name = clean(repr(way) if isinstance(way, Webhook) else getattr(way, "__name__", type(way).__name__), 80)
    try:
        made = way(question, impasse)
        if inspect.isawaitable(made):
            await clock.wait_for(made, SECONDS)
    except TimeoutError:
        return f"{name}: took longer than {SECONDS:g} seconds"
    except Exception as error:
        return f"{name}: {clean(f'{type(error).__name__}: {error}', 200)}"
    return ""


LOG: Final = logging.getLogger("orchestrator.escalation")


class NotificationSink:
    """Notifies people through the channels of the rung that asks, once the question is on record.

    It never delays a run. `report` is called with the run's id and one line for each error (default: a warning in the
    log); `drain` waits for notifications in progress.
    """

    def __init__(
        self, rungs: Iterable[object], report: Callable[[str, str], object] | None = None, clock: Clock | None = None
    ) -> None:
        self._rungs = tuple(rungs)
        self._report = report or _warn
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, RunWaiting] = {}

    @property
    def notifies(self) -> bool:
        """Whether any rung has a channel to notify people through."""
        return any(getattr(rung, "notify", ()) for rung in self._rungs)

    def on_event(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RunWaiting) and self.notifies:
            self._waiting[event.run_id] = event
        elif isinstance(event, RunResumed | RunEnded):
            self._waiting.pop(event.run_id, None)

    def on_record(self, run_id: str) -> None:
        """Notify people of that run, if it waits: its question is on record. Called on the event loop of the run."""
        event = self._waiting.pop(run_id, None)
        if event is not None:
            task = asyncio.get_running_loop().create_task(self._notify(event))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def drain(self) -> None:
        """Wait until all notifications have been sent."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _notify(self, event: RunWaiting) -> None:
        question, impasse = Question.from_json(event.question), Impasse.from_json(event.impasse)
        for problem in await announce(self._rungs, question, impasse, self._clock):
            self._report(event.run_id, problem)


def _warn(run_id: str, problem: str) -> None:
    LOG.warning("run %s waits, and a notification failed: %s", run_id, problem)


def ask_on_terminal(
    question: Question,
    impasse: Impasse,
    *,
    validate: Validate | None = None,
    by: str | None = None,
    read: Callable[[str], str] = input,
    write: Callable[[str], object] = print,
) -> Resolution | None:
    """A person's answer; `None` when the input ends. After an invalid answer the question is repeated."""
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
