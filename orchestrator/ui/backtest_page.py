"""The backtest page: what the newest runs would have decided under another policy, and what that would have cost."""

import time
from collections.abc import Iterator
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

from orchestrator.core.errors import InputError
from orchestrator.core.policy import Policy
from orchestrator.core.process.installation import catalog_folder
from orchestrator.observability.replay.backtest import backtest
from orchestrator.observability.run_filter import RunFilter
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow

from .backend import Backend
from .render_pages import render

MOST_RUNS: Final = 500
SECONDS: Final = 0.35
"""Seconds for which one page replays runs; the command line replays a whole store."""
SHOWN: Final = 100
"""Changed decisions that the page lists."""


def policy_names() -> list[str]:
    """The shipped policies."""
    return sorted(file.stem for file in catalog_folder("policies").glob("*.toml"))


def backtest_page(request: Request, backend: Backend) -> HTMLResponse:
    """The page: a form, and with a policy in the address the result."""
    name, label = request.query_params.get("policy", ""), request.query_params.get("label", "").strip()[:200]
    names, error, found, complete = policy_names(), "", None, True
    if name and name not in names:
        error = f"There is no policy {name[:60]!r}. Known: {', '.join(names)}."
    elif name:
        try:
            rows = _Timed(backend.store, label)
            found = backtest(backend.store, rows, Policy.load(name), most=SHOWN)
            complete = rows.complete
        except InputError as problem:
            error = str(problem)
    return render(
        "backtest.html",
        422 if error else 200,
        names=names,
        chosen=name,
        label=label,
        error=error,
        found=found,
        complete=complete,
        here="backtest",
        live=False,
    )


class _Timed:
    """The newest runs, as many as the time allows."""

    def __init__(self, store: Store, label: str) -> None:
        key, equals, value = label.partition("=")
        if label and not (key and equals):
            raise InputError(f"A label is written KEY=VALUE, not {label[:40]!r}.")
        self._store = store
        self._filter = RunFilter(labels={key: value} if label else {})
        self.complete = True
        """Whether all runs were replayed."""

    def __iter__(self) -> Iterator[RunRow]:
        deadline = time.monotonic() + SECONDS
        for number, row in enumerate(self._filter.rows(self._store, MOST_RUNS + 1)):
            if number == MOST_RUNS or time.monotonic() > deadline:
                self.complete = False
                return
            yield row


__all__ = ["backtest_page", "policy_names"]
