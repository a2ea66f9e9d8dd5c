"""One run: its timeline beside the tool graph as it was at a decision, its failures, and the form to answer it."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

from orchestrator.core.enums import IMPASSE_KINDS, DecisionKind, Status
from orchestrator.core.errors import InputError
from orchestrator.core.route import Impasse
from orchestrator.escalation import Question
from orchestrator.escalation.options import Hole
from orchestrator.escalation.question import choices_of
from orchestrator.graph.revision import GraphRevision, ToolSpec
from orchestrator.observability.liveness import lost_runs
from orchestrator.store.protocol import RunRow, Store

from .backend import Backend
from .decision_view import DecisionSnapshot, snapshot_of
from .drawing import draw
from .render_pages import render, run_path
from .run_history import Library, RunHistory, TimelineRow
from .security import Keys
from .time_axis import Scale, scale_of

WINDOW: Final = 150
"""Lines of the timeline on one page."""
MOST_FAILURES: Final = 100
MOST_CHILDREN: Final = 100
MOST_BREAKDOWN: Final = 60
LONG: Final = 40
"""Lines from which calls that worked are put together."""
SHORTEST_FOLD: Final = 4
_CHILD_STATES: Final = {Status.REACHED: "ok", Status.DEMOTED: "ok", Status.ESCALATED: "failed", Status.WAITING: "asked"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A line of the timeline with its place on the axis, in thousandths."""

    row: TimelineRow
    left: float
    width: float
    current: bool


@dataclass(frozen=True, slots=True)
class Fold:
    """Calls in a row that worked at their first attempt: one line of a long timeline, to be opened."""

    lines: tuple[Shown, ...]

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools, each once."""
        return tuple(dict.fromkeys(line.row.tool for line in self.lines))


@dataclass(frozen=True, slots=True)
class QuestionView:
    """What a waiting run asks: the question, and the numbered answers with what each still needs."""

    question: Question
    choices: tuple[tuple[int, str, str], ...]
    """Number, text, and what is to be filled in (empty for nothing)."""
    kind: str
    subject: str = ""
    """The tool that it is about."""
    spec: ToolSpec | None = None
    """That tool, as recorded."""
    price: float | None = None
    """What its step was planned at, in US dollars."""

    @property
    def holes(self) -> tuple[str, ...]:
        """What any of the choices needs."""
        return tuple(dict.fromkeys(hole for *_, hole in self.choices if hole))


class RunPages:
    """Pages of single runs; what was read of the last few is kept."""

    def __init__(self, backend: Backend, keys: Keys) -> None:
        self._backend = backend
        self._keys = keys
        self._library = Library(backend.store)

    def page(self, request: Request, row: RunRow, *, error: str = "", status: int = 200) -> HTMLResponse | None:
        """The page of a run, at a decision or at its latest; `None` when there is no such decision."""
        history = self._library.history(row)
        wanted = request.path_params.get("decision")
        position = mattered(history) if wanted is None else history.position(wanted)
        if position is None:
            return None
        store = self._backend.store
        snapshot = snapshot_of(history, position, store) if position >= 0 else None
        children = store.runs(parent=row.run_id, limit=MOST_CHILDREN)
        return render(
            "run.html",
            status,
            row=row,
            story=history,
            state=history.state,
            here="runs",
            error=error or self._backend.problems.get(row.run_id, ""),
            live=not row.status.ended,
            csrf=self._keys.form,
            can_act=self._backend.can_act,
            no_project=self._backend.no_project,
            asked=asked_of(history, store) if row.status is Status.WAITING else None,
            lost=row.run_id in lost_runs(store, [row]),
            verification=history.verification,
            children=children,
            failures=list(history.state.failures.values())[:MOST_FAILURES],
            **_timeline(request, history, snapshot, children),
            **_steps(history, position),
            snapshot=snapshot,
            drawing=draw(snapshot) if snapshot is not None else None,
            breakdown=list(snapshot.prices.values())[:MOST_BREAKDOWN] if snapshot is not None else [],
        )

    def verification(self, row: RunRow) -> HTMLResponse:
        """A page that says whether the record of a run is whole."""
        made = self._library.verification(row)
        return render("verify.html", row=row, verification=made, here="runs", live=False)


def _steps(history: RunHistory, position: int) -> dict[str, Any]:
    """The addresses of the decisions before and after, and of the first and last."""
    decisions = [decision.id for _, decision in history.decisions]
    run_id = history.row.run_id

    def at(place: int) -> str | None:
        return run_path(run_id, decisions[place]) if 0 <= place < len(decisions) and place != position else None

    return {
        "before": at(position - 1),
        "after": at(position + 1),
        "first": at(0),
        "last": at(len(decisions) - 1),
        "total": len(decisions),
    }


def mattered(history: RunHistory) -> int:
    """The place of the decision that a page opens on: why a run did not reach its goal, else how it was healed.

    The last decision where nothing went wrong; -1 where there is none yet.
    """
    kinds = [decision.kind for _, decision in history.decisions]
    reached = history.row.status is Status.REACHED
    if not reached:
        ends = [place for place, kind in enumerate(kinds) if kind in IMPASSE_KINDS]
        if ends:
            return ends[-1]
    healing = [place for place, kind in enumerate(kinds) if kind is DecisionKind.REROUTE]
    return healing[-1] if healing else len(kinds) - 1


def _with_children(history: RunHistory, children: list[RunRow]) -> tuple[TimelineRow, ...]:
    """The rows of the timeline with a row for each child run, where it began."""
    if not children:
        return history.rows
    began = history.state.started_at
    made = [
        TimelineRow(
            0,
            "child",
            max(0.0, child.started - began),
            None if child.ended is None else max(0.0, child.ended - began),
            child.goal,
            child.run_id,
            state=_CHILD_STATES.get(child.status, "running"),
        )
        for child in children
    ]
    return tuple(sorted((*history.rows, *made), key=lambda row: row.at))


def _folded(lines: list[Shown]) -> list[Shown | Fold]:
    """Long timelines with calls in a row that worked at once put into one line each."""
    if len(lines) < LONG:
        return list(lines)
    found: list[Shown | Fold] = []
    for quiet, group in groupby(lines, _quiet):
        some = tuple(group)
        if quiet and len(some) >= SHORTEST_FOLD:
            found.append(Fold(some))
        else:
            found += some
    return found


def _quiet(line: Shown) -> bool:
    row = line.row
    return row.kind == "call" and row.state == "ok" and row.attempt == 1


def _timeline(
    request: Request, history: RunHistory, snapshot: DecisionSnapshot | None, children: list[RunRow]
) -> dict[str, Any]:
    """The lines around the selected decision, or those that the address asks for."""
    rows = _with_children(history, children)
    current = snapshot.decision.id if snapshot is not None else ""
    start = _start(request.query_params.get("from", ""), rows, current)
    window = rows[start : start + WINDOW]
    last = max((row.until or row.at for row in rows), default=0.0)
    ends = [(row.at, last if row.state == "running" else row.until or row.at) for row in window]
    scale = scale_of(ends)
    return {
        "lines": _folded([_shown(row, end, scale, current) for row, (_, end) in zip(window, ends, strict=True)]),
        "shown": len(window),
        "scale": scale,
        "start": start,
        "size": len(rows),
        "earlier": max(0, start - WINDOW) if start else None,
        "later": start + WINDOW if start + WINDOW < len(rows) else None,
        "spans": scale.points[-1][0] - scale.points[0][0],
    }


def _start(asked: str, rows: tuple[TimelineRow, ...], current: str) -> int:
    if asked.isascii() and asked.isdigit() and len(asked) < 9:
        return min(int(asked), max(0, len(rows) - 1))
    place = next((n for n, row in enumerate(rows) if row.decision == current and current), 0)
    return 0 if place < WINDOW else place - WINDOW // 3


def _shown(row: TimelineRow, end: float, scale: Scale, current: str) -> Shown:
    left = scale.place(row.at) * 1000
    width = max(3.0, scale.place(end) * 1000 - left)
    return Shown(
        row, min(left, 997.0), min(width, 1000.0 - min(left, 997.0)), bool(current) and row.decision == current
    )


def asked_of(history: RunHistory, store: Store | None = None) -> QuestionView | None:
    """What the run waits for; `None` when the record does not say. `store` has the graph, for what it is about."""
    state = history.state
    if state.question is None or state.impasse is None:
        return None
    try:
        question, impasse = Question.from_json(state.question), Impasse.from_json(state.impasse)
    except (KeyError, TypeError, ValueError, InputError):
        return None
    needed = {Hole.NONE: "", Hole.VALUE: "value", Hole.SECONDS: "seconds", Hole.AMOUNT: "amount"}
    choices = tuple(
        (number, option.text, needed[option.hole]) for number, option in enumerate(choices_of(question, impasse), 1)
    )
    subject = impasse.subject or ""
    data = store.graph(state.graph) if store is not None and subject else None
    spec = GraphRevision.from_json(data).nodes.get(subject) if data else None
    return QuestionView(question, choices, impasse.kind, subject, spec, _price_of(history, subject))


def _price_of(history: RunHistory, tool: str) -> float | None:
    """What a tool was priced at in the last decision that names it."""
    for _, decision in reversed(history.decisions):
        for candidate in decision.candidates:
            if candidate.name == tool and candidate.price is not None:
                return candidate.price
    return None
