"""The page of one run: its timeline, the tool graph at a decision, its failures, and the form to answer it."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
from orchestrator.observability.run_status import lost_runs
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow

from .backend import Backend
from .decision_view import DecisionSnapshot, snapshot_of
from .drawing import draw
from .render_pages import render, run_path
from .run_history import Library, RunHistory
from .security import Keys
from .timeline import timeline

MOST_FAILURES: Final = 100
MOST_CHILDREN: Final = 500
MOST_LOOKED_INTO: Final = 100
"""Maximum number of child runs whose own children are read for a page."""
_WELL: Final = (Status.REACHED, Status.DEMOTED)
MOST_ROWS: Final = 12
"""Number of rows of a table that are shown; the rest is folded."""


@dataclass(frozen=True, slots=True)
class Descendant:
    """A child run with its own children."""

    row: RunRow
    children: tuple["Descendant", ...] = ()

    @property
    def in_trouble(self) -> bool:
        """Whether it, or a run below it, reached no goal or has not ended."""
        return self.row.status not in _WELL or any(c.in_trouble for c in self.children)


@dataclass(frozen=True, slots=True)
class QuestionView:
    """The question of a waiting run, and the numbered answers with the values that each needs."""

    question: Question
    choices: tuple[tuple[int, str, str], ...]
    """Number, text, and the value to fill in (empty for none)."""
    kind: str
    subject: str = ""
    """The tool that it is about."""
    spec: ToolSpec | None = None
    """That tool, as recorded."""
    price: float | None = None
    """The planned price of its step in US dollars."""

    @property
    def holes(self) -> tuple[str, ...]:
        """The values that any of the choices needs."""
        return tuple(dict.fromkeys(hole for *_, hole in self.choices if hole))


class RunPages:
    """Pages of single runs; the last few histories are cached."""

    def __init__(self, backend: Backend, keys: Keys) -> None:
        self._backend = backend
        self._keys = keys
        self._library = Library(backend.store)

    def page(self, request: Request, row: RunRow, *, error: str = "", status: int = 200) -> HTMLResponse | None:
        """The page of a run, at a decision or at its latest; `None` when there is no such decision."""
        history = self._library.history(row)
        wanted = request.path_params.get("decision")
        position = opening_decision(history) if wanted is None else history.position(wanted)
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
            descent=descent_of(store, children),
            failures=list(history.state.failures.values())[:MOST_FAILURES],
            **timeline(request.query_params.get("from", ""), history, _current(snapshot), children),
            **_steps(history, position),
            snapshot=snapshot,
            drawing=draw(snapshot) if snapshot is not None else None,
            **_tables(snapshot),
            most_rows=MOST_ROWS,
        )

    def verification(self, row: RunRow) -> HTMLResponse:
        """A page that says whether the record of a run is whole."""
        made = self._library.verification(row)
        return render("verify.html", row=row, verification=made, here="runs", live=False)


def descent_of(store: Store, children: Sequence[RunRow]) -> tuple[Descendant, ...]:
    """The tree of child runs, failed and unfinished ones first; only the upper levels of a large tree."""
    below: dict[str, list[RunRow]] = {}
    waiting = deque(sorted(children, key=lambda row: row.status in _WELL))
    while waiting and len(below) < MOST_LOOKED_INTO:
        row = waiting.popleft()
        below[row.run_id] = store.runs(parent=row.run_id, limit=MOST_CHILDREN)
        waiting += below[row.run_id]

    def tree(rows: Iterable[RunRow]) -> tuple[Descendant, ...]:
        made = [Descendant(row, tree(below.get(row.run_id, ()))) for row in rows]
        return tuple(sorted(made, key=lambda each: (not each.in_trouble, each.row.started, each.row.run_id)))

    return tree(children)


def _current(snapshot: DecisionSnapshot | None) -> str:
    return "" if snapshot is None else snapshot.decision.id


def _tables(snapshot: DecisionSnapshot | None) -> dict[str, Any]:
    """The candidates and the prices of a decision: first the choice, then what failed, then the rest."""
    if snapshot is None:
        return {}
    chosen, culprits = snapshot.decision.chosen, snapshot.culprits
    among = sorted(snapshot.decision.candidates, key=lambda each: (each.name != chosen, each.name not in culprits))
    return {"among": among, "breakdown": sorted(snapshot.prices.values(), key=lambda each: each.tool not in culprits)}


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


def opening_decision(history: RunHistory) -> int:
    """The index of the decision that a page shows first: why a run did not reach its goal, else how it was healed.

    The last decision if nothing failed; -1 if there is none yet.
    """
    kinds = [decision.kind for _, decision in history.decisions]
    reached = history.row.status is Status.REACHED
    if not reached:
        ends = [place for place, kind in enumerate(kinds) if kind in IMPASSE_KINDS]
        if ends:
            return ends[-1]
    healing = [place for place, kind in enumerate(kinds) if kind is DecisionKind.REROUTE]
    return healing[-1] if healing else len(kinds) - 1


def asked_of(history: RunHistory, store: Store | None = None) -> QuestionView | None:
    """What the run waits for; `None` if the record does not say. `store` has the graph, for the tool of the
    question.
    """
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
    """The price of a tool in the last decision that names it."""
    for _, decision in reversed(history.decisions):
        for candidate in decision.candidates:
            if candidate.name == tool and candidate.price is not None:
                return candidate.price
    return None
