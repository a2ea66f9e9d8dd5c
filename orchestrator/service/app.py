"""The application: routes over an orchestrator's store. Runs are driven by workers, not by requests."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from orchestrator.api import Orchestrator
from orchestrator.core.checks import check_name
from orchestrator.core.enums import Status
from orchestrator.core.errors import DefinitionError, InputError, StoreError
from orchestrator.core.goal import Budget, Goal
from orchestrator.core.outcome import Outcome
from orchestrator.observability.answering import QuestionNotOpen, keep_answer, open_questions
from orchestrator.store.rows import TENANT, RunRow

from .access import RateLimit, StreamLimit, Tokens
from .metrics import exposition
from .openapi import document
from .requests import AnswerBody, RequestError, ShownQuestion, Submission, read_body

RECORD_POLL_SECONDS: Final = 0.2
"""Seconds between two polls for new records of a run, for its event stream."""
_KEEP_ALIVE_SECONDS: Final = 15.0
_MOST_LISTED: Final = 500
_NUMBER: Final = re.compile(r"\d{1,9}")

Handler = Callable[[Request, str], Awaitable[Response]]


class Service:
    """Handles requests; each belongs to the tenant of its token, who sees only runs with that label."""

    def __init__(
        self, orc: Orchestrator, tokens: Tokens, rate: RateLimit | None = None, streams: StreamLimit | None = None
    ) -> None:
        self._orc = orc
        self._tokens = tokens
        self._rate = rate or RateLimit()
        self._streams = streams or StreamLimit()
        self.stopping = asyncio.Event()

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/healthz", self._alive),
                Route("/readyz", self._ready),
                Route("/openapi.json", self._document),
                Route("/metrics", self._guarded(self._metrics)),
                Route("/health", self._guarded(self._health)),
                Route("/runs", self._guarded(self._submit), methods=["POST"]),
                Route("/runs", self._guarded(self._runs)),
                Route("/runs/{run_id}", self._guarded(self._run)),
                Route("/runs/{run_id}/events", self._guarded(self._events)),
                Route("/runs/{run_id}/answer", self._guarded(self._answer), methods=["POST"]),
                Route("/runs/{run_id}/cancel", self._guarded(self._cancel), methods=["POST"]),
            ]
        )

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Check token and rate before the handler; turn errors of the framework into responses after it."""

        async def guarded(request: Request) -> Response:
            try:
                tenant = self._tokens.tenant(request.headers.get("authorization"))
                if tenant is None:
                    raise RequestError(401, "the token is missing or unknown", {"WWW-Authenticate": "Bearer"})
                if wait := self._rate.wait(tenant):
                    raise RequestError(429, "too many requests", {"Retry-After": f"{max(1, round(wait))}"})
                return await handler(request, tenant)
            except RequestError as refusal:
                return refusal.response()
            except (InputError, DefinitionError) as error:
                return RequestError(400, str(error)).response()
            except StoreError as error:
                return RequestError(503, str(error), {"Retry-After": "1"}).response()

        return guarded

    # -- about the service -------------------------------------------------------------------------------------------

    async def _alive(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _ready(self, _request: Request) -> Response:
        if self.stopping.is_set():
            return PlainTextResponse("stopping", 503)
        try:
            await asyncio.to_thread(self._orc.store.now)
        except StoreError:
            return PlainTextResponse("the store cannot be reached", 503)
        return PlainTextResponse("ok")

    async def _document(self, _request: Request) -> Response:
        return JSONResponse(document())

    async def _metrics(self, _request: Request, _tenant: str) -> Response:
        text = await asyncio.to_thread(exposition, self._orc, None)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def _health(self, _request: Request, _tenant: str) -> Response:
        names = sorted(self._orc.graph.view().tools)
        status = self._orc.health.status
        return JSONResponse({name: {"circuit": str(status(name).circuit)} for name in names})

    # -- runs --------------------------------------------------------------------------------------------------------

    async def _submit(self, request: Request, tenant: str) -> Response:
        wanted: Submission = await read_body(request, Submission)
        if TENANT in wanted.labels:
            raise RequestError(422, f"the label {TENANT!r} is that of the token")
        if wanted.run_id is not None:
            check_name("a run", wanted.run_id)
            if "/" in wanted.run_id or wanted.run_id in (".", ".."):
                raise RequestError(422, "a run_id here is part of an address: it is neither . nor .. and has no /")
            existing = await asyncio.to_thread(self._orc.store.run, wanted.run_id)
            if existing is not None and existing.labels.get(TENANT) != tenant:
                raise RequestError(409, "this run_id cannot be used")
        run_id = await self._orc.submit(
            Goal(wanted.goal, demotions=wanted.demotions),
            wanted.inputs,
            run_id=wanted.run_id,
            labels={**wanted.labels, TENANT: tenant},
            priority=wanted.priority,
            delay=wanted.delay,
            budget=None if wanted.budget is None else Budget(usd=wanted.budget),
            work_here=False,
        )
        return JSONResponse({"run_id": run_id}, 202, headers={"Location": f"/runs/{quote(run_id, safe='')}"})

    async def _runs(self, request: Request, tenant: str) -> Response:
        query = request.query_params
        labels = {TENANT: tenant}
        for label in query.getlist("label"):
            name, _, value = label.partition("=")
            labels.setdefault(name, value)
        status = query.get("status")
        if status is not None and status not in Status.__members__.values():
            raise RequestError(422, f"a status is one of {', '.join(Status)}")
        limit, offset = _number(query.get("limit"), 50), _number(query.get("offset"), 0)
        rows = await asyncio.to_thread(
            lambda: self._orc.store.runs(
                status=Status(status) if status else None,
                parent=None,
                limit=min(limit, _MOST_LISTED),
                offset=offset,
                labels=labels,
            )
        )
        return JSONResponse({"runs": [_row(row) for row in rows]})

    async def _run(self, request: Request, tenant: str) -> Response:
        row = await self._owned(request, tenant)
        found = _row(row)
        if row.count:
            outcome = await asyncio.to_thread(self._orc.outcome, row.run_id)
            found |= _outcome(outcome)
        return JSONResponse(found)

    async def _answer(self, request: Request, tenant: str) -> Response:
        row = await self._owned(request, tenant)
        given: AnswerBody = await read_body(request, AnswerBody)
        await asyncio.to_thread(self._keep_answer, row, given, given.by or tenant)
        return JSONResponse({"run_id": row.run_id}, 202)

    def _keep_answer(self, row: RunRow, given: AnswerBody, by: str) -> None:
        """Store the answer. Raises `RequestError`."""
        store, run_id = self._orc.store, row.run_id
        found = [each for each, _ in open_questions(store, run_id)]
        shown = [ShownQuestion.of(each, run_id) for each in found]
        if given.question is None and len(found) > 1:
            listed = "; ".join(f"{each.id}: {each.text}" for each in found)
            raise RequestError(409, f"several questions are open, name one by its id: {listed}", questions=shown)
        try:
            keep_answer(store, run_id, given.answer, by, given.question)
        except QuestionNotOpen as error:
            raise RequestError(409, str(error), questions=shown) from None
        except InputError as error:
            raise RequestError(422, str(error)) from None

    async def _cancel(self, request: Request, tenant: str) -> Response:
        row = await self._owned(request, tenant)
        if not await asyncio.to_thread(self._orc.store.queue.cancel, row.run_id):
            raise RequestError(409, f"the run has ended: {row.status}")
        return JSONResponse({"run_id": row.run_id}, 202)

    async def _events(self, request: Request, tenant: str) -> Response:
        row = await self._owned(request, tenant)
        after = _number(request.headers.get("last-event-id"), 0)
        if not self._streams.take(tenant):
            why = "too many streams of events are open: end one, or ask for GET /runs/{run_id} now and then"
            raise RequestError(429, why, {"Retry-After": "5"})
        events = self._stream(request, row.run_id, after)
        return _Events(events, partial(self._streams.give_back, tenant))

    async def _stream(self, request: Request, run_id: str, after: int) -> AsyncIterator[str]:
        """Server-sent events: each record of the run from `after` on, until the run has ended or the client left."""
        loop = asyncio.get_running_loop()
        sent = loop.time()
        while not self.stopping.is_set() and not await request.is_disconnected():
            row = await asyncio.to_thread(self._orc.store.run, run_id)
            for record in await asyncio.to_thread(self._orc.store.records, run_id, after):
                after, sent = record.seq, loop.time()
                data = json.dumps({"at": record.at, **record.body})
                yield f"id: {record.seq}\nevent: {record.kind}\ndata: {data}\n\n"
            if row is None or (row.status.ended and after >= row.count):
                return
            if loop.time() - sent > _KEEP_ALIVE_SECONDS:
                sent = loop.time()
                yield ": still here\n\n"
            await asyncio.sleep(RECORD_POLL_SECONDS)

    async def _owned(self, request: Request, tenant: str) -> RunRow:
        """The run of the path. Raises `RequestError` for an unknown run and for another tenant's."""
        row = await asyncio.to_thread(self._orc.store.run, request.path_params["run_id"])
        if row is None or row.labels.get(TENANT) != tenant:
            raise RequestError(404, "there is no such run")
        return row


class _Events(StreamingResponse):
    """Server-sent events; `ended` is called when they end, for any reason."""

    def __init__(self, events: AsyncIterator[str], ended: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, 200, headers, "text/event-stream")
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else default


def _row(row: RunRow) -> dict[str, Any]:
    return {
        "run_id": row.run_id,
        "goal": row.goal,
        "status": str(row.status),
        "started": row.started,
        "ended": row.ended,
        "labels": {name: value for name, value in row.labels.items() if name != TENANT},
        "attempts": row.attempts,
        "set_aside": row.status is Status.QUEUED and row.wake is None,
        "left": str(row.summary.get("left", "")) if row.status is Status.QUEUED else "",
    }


def _type_of(value: Any) -> str:
    return f"<{type(value).__name__}>"


def _as_json(value: Any) -> Any:
    """A value as JSON data; the name of its type if it has no JSON form."""
    try:
        return json.loads(to_json(value, inf_nan_mode="strings", bytes_mode="base64", fallback=_type_of))
    except (ValueError, RecursionError):
        return _type_of(value)


def _outcome(outcome: Outcome[Any]) -> dict[str, Any]:
    """The outcome of a run: the values of its goal as JSON (or the name of their type), and its questions."""
    return {
        "values": {key: _as_json(outcome.values[key]) for key in outcome.goal.keys if key in outcome.values},
        "questions": [ShownQuestion.of(question, outcome.run_id).model_dump() for question in outcome.questions],
        "cost": outcome.cost,
        "uncompensated": list(outcome.uncompensated),
    }


__all__ = ["Service"]
