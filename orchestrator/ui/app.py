"""`create_app`: the routes of the viewer and their handlers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from orchestrator.api import Orchestrator
from orchestrator.core.errors import InputError, OrchestratorError, StoreError
from orchestrator.core.text import plain
from orchestrator.store import Store
from orchestrator.store.rows import RunRow

from .agents_page import agents_page, health_page
from .backend import Backend
from .backtest_page import backtest_page
from .overview_page import overview_page
from .render_pages import STATIC, render, run_path
from .run_page import RunPages
from .runs_page import runs_page
from .security import LOOPBACK, Guard, Keys, read_form
from .tool_page import tool_page

STATIC_FILES = ("app.css", "app.js", "icon.svg")
ACTIONS = ("trip", "restore")


class _RunId(Convertor[str]):
    """Any characters, slashes and line breaks included: old stores may hold such ids."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        """The id as it is."""
        return value

    def to_string(self, value: str) -> str:
        """The id as it is."""
        return value


register_url_convertor("run", _RunId())


def create_app(
    store_or_orchestrator: Store | Orchestrator | Backend,
    *,
    token: str,
    hosts: Sequence[str] = LOOPBACK,
    any_address: bool = False,
) -> Starlette:
    """The viewer as an ASGI application: read-only over a store; over an orchestrator it also answers runs.

    `token` gives access: `/?token=...` exchanges it for a cookie. `hosts` are the accepted names in `Host` (without
    ports); with `any_address` every numeric address too, for a viewer that listens on all interfaces. Raises
    `ValueError` for an empty token.
    """
    if isinstance(store_or_orchestrator, Backend):
        backend = store_or_orchestrator
    elif isinstance(store_or_orchestrator, Orchestrator):
        backend = Backend(store_or_orchestrator.store, store_or_orchestrator)
    else:
        backend = Backend(store_or_orchestrator)
    keys = Keys(token)
    viewer = _Viewer(backend, keys)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        await backend.aclose()

    return Starlette(
        routes=viewer.routes(),
        middleware=[Middleware(Guard, keys=keys, hosts=tuple(hosts), any_address=any_address)],
        exception_handlers={HTTPException: _failed, OrchestratorError: _failed},
        lifespan=lifespan,
    )


class _Viewer:
    def __init__(self, backend: Backend, keys: Keys) -> None:
        self._backend = backend
        self._keys = keys
        self._pages = RunPages(backend, keys)

    def routes(self) -> list[Route]:
        """All routes. A run id may contain slashes, so routes with a suffix are matched first."""
        return [
            Route("/", self.runs),
            Route("/runs", self.runs),
            Route("/overview", self.overview),
            Route("/backtest", self.backtest),
            Route("/tools/{tool:run}", self.tool),
            Route("/health", self.health),
            Route("/health", self.set_circuit, methods=["POST"]),
            Route("/agents", self.agents),
            Route("/agents", self.feedback, methods=["POST"]),
            Route("/static/{name}", _static),
            Route("/runs/{run_id:run}/decisions/{decision}", self.run),
            Route("/runs/{run_id:run}/verify", self.verify),
            Route("/runs/{run_id:run}/answer", self.answer, methods=["POST"]),
            Route("/runs/{run_id:run}", self.run),
        ]

    # -- looking: in threads, so that a slow store holds up nobody ---------------------------------------------------

    def runs(self, request: Request) -> Response:
        """The page of runs."""
        return runs_page(request, self._backend)

    def overview(self, request: Request) -> Response:
        """The page of the last day."""
        return overview_page(request, self._backend)

    def backtest(self, request: Request) -> Response:
        """The recorded decisions under another policy."""
        return backtest_page(request, self._backend)

    def tool(self, request: Request) -> Response:
        """One tool."""
        return tool_page(self._backend, self._keys, request.path_params["tool"])

    def run(self, request: Request) -> Response:
        """The page of one run at a decision."""
        page = self._pages.page(request, self._row(request))
        if page is None:
            raise HTTPException(404, "This run has no such decision.")
        return page

    def verify(self, request: Request) -> Response:
        """Verify the record of a run."""
        return self._pages.verification(self._row(request))

    def health(self, request: Request) -> Response:
        """Health."""
        del request
        return health_page(self._backend, self._keys)

    def _row(self, request: Request) -> RunRow:
        row = self._backend.store.run(request.path_params["run_id"])
        if row is None:
            raise HTTPException(404, "There is no such run in this store.")
        return row

    def agents(self, request: Request) -> Response:
        """Agents."""
        del request
        return agents_page(self._backend, self._keys)

    # -- acting --------------------------------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Response:
        """Answer a waiting run."""
        form = await read_form(request, self._keys)
        row = await asyncio.to_thread(self._row, request)
        try:
            if row.status.ended:
                raise InputError(f"This run has ended ({row.status}): it takes no answer any more.")
            await self._backend.answer(row.run_id, _answer(form), form.get("by", "").strip()[:200] or "viewer")
        except OrchestratorError as error:
            again = await asyncio.to_thread(self._row, request)
            page = await asyncio.to_thread(self._pages.page, request, again, error=str(error), status=422)
            assert page is not None
            return page
        return RedirectResponse(run_path(row.run_id), status_code=303)

    async def set_circuit(self, request: Request) -> Response:
        """Trip or restore a circuit by hand."""
        form = await read_form(request, self._keys)
        name, to = unquote(form.get("name", "")), unquote(form.get("to", "")) or None
        reason, by = form.get("reason", "").strip()[:200], form.get("by", "").strip()[:200]
        try:
            action = _one_of(form.get("do", ""), ACTIONS)
            await asyncio.to_thread(self._backend.set_circuit, name, to, action == "trip", reason, by)
        except StoreError:
            raise
        except OrchestratorError as error:
            return await asyncio.to_thread(health_page, self._backend, self._keys, error=str(error), status=422)
        return RedirectResponse("/health", status_code=303)

    async def feedback(self, request: Request) -> Response:
        """Record feedback about an agent's work."""
        form = await read_form(request, self._keys)
        run_id, key = form.get("run", "").strip(), form.get("key", "").strip()
        try:
            good = _one_of(form.get("success", ""), ("yes", "no")) == "yes"
            await asyncio.to_thread(self._backend.feedback, run_id, key, good)
        except StoreError:
            raise
        except OrchestratorError as error:
            return await asyncio.to_thread(agents_page, self._backend, self._keys, error=str(error), status=422)
        notice = f"Recorded: {key} of run {run_id}."
        return await asyncio.to_thread(agents_page, self._backend, self._keys, notice=notice)


def _one_of(word: str, known: Sequence[str]) -> str:
    """The word, if it is known. Raises `InputError` for any other."""
    if word not in known:
        raise InputError(f"There is no action {plain(word, 40)!r}. Known: {', '.join(known)}.")
    return word


def _answer(form: dict[str, str]) -> Any:
    """The answer as `orc.resume` takes it: the number of a choice with its value."""
    number = form.get("choice", "")
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        return form.get("value", "")
    value = form.get("value", "").strip()
    return {"choice": int(number), "value": value} if value else {"choice": int(number)}


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC_FILES:
        raise HTTPException(404, "There is no such file.")
    return FileResponse(STATIC / name)


def _failed(request: Request, error: Exception) -> Response:
    del request
    if isinstance(error, HTTPException):
        page = render(
            "message.html", error.status_code, title=str(error.status_code), text=error.detail, here="", live=False
        )
        page.headers.update(error.headers or {})  # `Allow`, beside a 405
        return page
    status = 503 if isinstance(error, StoreError) else 400
    return render("message.html", status, title="That did not work", text=str(error), here="", live=False)
