"""The list of runs: filtered by status, label, tool, failure class and time, searched, page by page."""

import time
from dataclasses import dataclass, field
from itertools import islice
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse

from orchestrator.core.enums import FailureKind, Status
from orchestrator.core.errors import InputError, nearest
from orchestrator.observability.run_filter import RunFilter, read_time
from orchestrator.observability.run_status import lost_runs, only_here_text, waiting_text
from orchestrator.store.rows import RunRow

from .backend import Backend
from .render_pages import render

PAGE: Final = 50
MOST_OFFSET: Final = 10_000_000
MOST_SCANNED: Final = 1_000
"""Maximum number of matching runs that are counted for a filter without an index."""
TAKEN: Final[dict[str, tuple[str, ...]]] = {
    "status": tuple(map(str, Status)),
    "failure": tuple(map(str, FailureKind)),
    "children": ("0", "1"),
    "healed": ("0", "1"),
    **dict.fromkeys(("q", "label", "tool", "since", "page"), ()),
}
"""The filters in an address and their possible values; none: any text."""
TIMES: Final = (("", "any time"), ("1h", "the last hour"), ("24h", "the last day"), ("7d", "the last week"))


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter in the address of the page."""

    status: Status | None = None
    search: str = ""
    children: bool = False
    label: str = ""
    """`KEY=VALUE`, several separated by spaces."""
    tool: str = ""
    failure: str = ""
    healed: bool = False
    since: str = ""
    page: int = 1
    problem: str = field(default="", compare=False)
    """The invalid parts of the address."""

    @classmethod
    def of(cls, request: Request) -> "Filter":
        """Parse the address; invalid parts are ignored and reported."""
        query = request.query_params
        wrong_time = _wrong_time(query)
        status, failure, page = query.get("status", ""), query.get("failure", ""), query.get("page", "1")
        return cls(
            status=Status(status) if status in tuple(Status) else None,
            search=query.get("q", "").strip()[:200],
            children=query.get("children") == "1",
            label=query.get("label", "").strip()[:400],
            tool=query.get("tool", "").strip()[:200],
            failure=failure if failure in tuple(FailureKind) else "",
            healed=query.get("healed") == "1",
            since="" if wrong_time else query.get("since", "").strip()[:40],
            page=_page(page),
            problem=wrong_time or _wrong_choice(query) or _wrong_label(query),
        )

    def address(self, page: int = 1, status: Status | str | None = "same") -> str:
        """The address of the list with another page or status."""
        wanted = self.status if status == "same" else status
        fields = {
            "status": str(wanted) if wanted else "",
            "q": self.search,
            "children": "1" if self.children else "",
            "label": self.label,
            "tool": self.tool,
            "failure": self.failure,
            "healed": "1" if self.healed else "",
            "since": self.since,
            "page": str(page) if page > 1 else "",
        }
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"/?{query}" if query else "/"

    @property
    def narrowed(self) -> bool:
        """Whether it has more than a status and a search."""
        return bool(self.label or self.tool or self.failure or self.healed or self.since)

    def of_status(self, status: Status | None) -> RunFilter:
        """The filter over a store, for runs of this status."""
        return RunFilter(
            status=status,
            search=self.search or None,
            labels=dict(word.split("=", 1) for word in self.label.split() if "=" in word),
            since=read_time(self.since or None),
            tool=self.tool or None,
            failure=FailureKind(self.failure) if self.failure else None,
            healed=self.healed,
            children=self.children,
        )


def _page(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    return max(1, min(number, MOST_OFFSET // PAGE))


def _wrong_time(query: QueryParams) -> str:
    try:
        read_time(query.get("since") or None)
    except InputError as error:
        return str(error)
    return ""


def _wrong_choice(query: QueryParams) -> str:
    """What is wrong with the first filter that is unknown or has a value that it does not take."""
    for name, value in query.items():
        if name not in TAKEN:
            return f"There is no filter {name[:40]!r}.{nearest(name[:40], TAKEN)}"
        taken = TAKEN[name]
        if taken and value and value not in taken:
            return f"The filter {name} does not take {value[:40]!r}.{nearest(value[:40], taken)}"
    page = query.get("page", "1")
    return "" if str(_page(page)) == page else f"{page[:40]!r} is no page of the list."


def _wrong_label(query: QueryParams) -> str:
    wrong = [word for word in query.get("label", "").split() if "=" not in word]
    return f"A label is written KEY=VALUE, not {wrong[0][:40]!r}." if wrong else ""


def runs_page(request: Request, backend: Backend) -> HTMLResponse:
    """The page."""
    wanted = Filter.of(request)
    store = backend.store
    query = wanted.of_status(wanted.status)
    every: list[RunRow] = []
    if query.indexed:
        counts = query.counts(store)
        more = False
    else:
        every = list(islice(wanted.of_status(None).rows(store, MOST_SCANNED), MOST_SCANNED))
        counts = {status: sum(row.status is status for row in every) for status in Status}
        more = len(every) == MOST_SCANNED
    count = sum(counts.values()) if wanted.status is None else counts[wanted.status]
    first = (wanted.page - 1) * PAGE
    rows = [row for row in every if wanted.status in (None, row.status)][first : first + PAGE]
    if query.indexed or (more and len(rows) < PAGE):
        rows = list(query.rows(store, PAGE, first))
    return render(
        "runs.html",
        filter=wanted,
        rows=rows,
        lost=lost_runs(store, rows),
        waits={row.run_id: (waiting_text(row, time.time()), only_here_text(row)) for row in rows},
        count=count,
        more=more,
        pages=max(1, -(-count // PAGE)),
        tabs=[(None, sum(counts.values())), *counts.items()],
        waiting=counts[Status.WAITING],
        failures=list(FailureKind),
        times=TIMES,
        live=True,
        here="runs",
    )
