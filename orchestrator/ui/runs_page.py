"""The list of runs: filtered by status, searched, page by page."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse

from orchestrator.core.enums import Status
from orchestrator.store.protocol import RunRow

from .backend import Backend
from .render_pages import render

PAGE: Final = 50
MOST_OFFSET: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Filter:
    """What is looked for."""

    status: Status | None
    search: str
    children: bool
    page: int

    @classmethod
    def of(cls, request: Request) -> "Filter":
        """What the address says; what makes no sense in it is ignored."""
        query = request.query_params
        status = query.get("status", "")
        page = query.get("page", "1")
        return cls(
            status=Status(status) if status in tuple(Status) else None,
            search=query.get("q", "").strip()[:200],
            children=query.get("children") == "1",
            page=max(1, min(int(page), MOST_OFFSET // PAGE))
            if page.isascii() and page.isdigit() and len(page) < 9
            else 1,
        )

    def address(self, page: int = 1, status: Status | str | None = "same") -> str:
        """The address of the list with another page or status."""
        wanted = self.status if status == "same" else status
        fields = {
            "status": str(wanted) if wanted else "",
            "q": self.search,
            "children": "1" if self.children else "",
            "page": str(page) if page > 1 else "",
        }
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"/?{query}" if query else "/"


def runs_page(request: Request, backend: Backend) -> HTMLResponse:
    """The page."""
    wanted = Filter.of(request)
    store, parent = backend.store, ... if wanted.children else None
    counts = {status: store.count_runs(status, wanted.search or None, parent) for status in Status}
    count = sum(counts.values()) if wanted.status is None else counts[wanted.status]
    rows: list[RunRow] = store.runs(wanted.status, wanted.search or None, parent, PAGE, (wanted.page - 1) * PAGE)
    return render(
        "runs.html",
        filter=wanted,
        rows=rows,
        count=count,
        pages=max(1, -(-count // PAGE)),
        tabs=[(None, sum(counts.values())), *counts.items()],
        waiting=counts[Status.WAITING],
        live=True,
        here="runs",
    )
