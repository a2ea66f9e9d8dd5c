"""The tool graph at a decision, as shapes with positions and states for a template."""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.enums import START
from orchestrator.core.text import abridged, plain, usd
from orchestrator.graph.revision import GraphRevision

from .decision_view import DecisionSnapshot
from .folding import FoldedTools, folded, most_important, worth_drawing
from .layout import Box, Layout, Placed, lay_out

MOST_TOOLS = 40
"""Maximum number of tools in a drawing, the most relevant first."""
_CHAR = 7.7
_PAD = 10.0
_NAME = 24


@dataclass(frozen=True, slots=True)
class Shape:
    """A tool or a key."""

    kind: str
    """`tool`, `fold` (several tools), `key` or `start`."""
    name: str
    label: str
    x: float
    y: float
    width: float
    height: float
    state: str
    """A tool: `chosen`, `done`, `running`, `dead` or nothing; a key: `given`, `made`, `goal` or nothing."""
    title: str
    """Text alternative for people who do not see the drawing."""
    price: str = ""
    """On the edge that leaves a tool."""
    chip_x: float = 0.0
    """Horizontal position of the price, from the left of the shape."""
    focus: bool = False
    """Whether the decision is about it: a drawing wider than the page is scrolled to it."""


@dataclass(frozen=True, slots=True)
class Line:
    """An edge."""

    path: str
    state: str
    """`chosen`, `done`, `dead` or nothing."""
    optional: bool = False
    transition: bool = False
    label: str = ""
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything to draw."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
    lines: tuple[Line, ...]
    hidden: int
    """Tools that are not shown."""
    title: str


def draw(snapshot: DecisionSnapshot) -> Drawing | None:
    """The graph of a snapshot; `None` when it is not recorded."""
    if snapshot.view is None:
        return None
    return _Artist(snapshot, snapshot.view).drawing()


class _Artist:
    def __init__(self, snapshot: DecisionSnapshot, view: GraphRevision) -> None:
        self.snapshot, self.view = snapshot, view
        self.route = set(snapshot.route_after) - (set(snapshot.problem.done) - set(snapshot.route))
        self.culprits = snapshot.culprits
        names = worth_drawing(snapshot, view)
        self.folds = folded(names, view, self._tool_state, {*self.culprits, *snapshot.route_after[:1]})
        self.fold_of = {name: fold for fold in self.folds for name in fold.tools}
        too_many = len(names) - len(self.fold_of) > MOST_TOOLS
        shown = sorted(most_important(snapshot, view)[:MOST_TOOLS]) if too_many else names
        self.tools = [name for name in shown if name not in self.fold_of]
        self.drawn = [*self.tools, *self.fold_of]
        goal = set(snapshot.problem.goal)
        used = {key for name in self.drawn for key in (*view.nodes[name].needs, *view.nodes[name].optional)}
        made = {key for name in self.drawn for key in view.nodes[name].gives}
        keys = used | goal | {key for key in made if key in snapshot.problem.at_hand}
        self.keys = sorted(key for key in keys if key in goal or not self._is_inside(key))
        self.goal = goal

    def drawing(self) -> Drawing:
        boxes = [self._tool_box(name) for name in self.tools] + [self._key_box(key) for key in self.keys]
        boxes += [Box(fold.id, len(_fold_label(fold)) * 7.1 + 30, 34) for fold in self.folds]
        starts = any(t.source == START and t.target in self.tools for t in self.view.transitions)
        boxes += [Box("s:", 64, 26)] if starts else []
        layout = lay_out(boxes, [(a, b) for a, b, *_ in self._edges()])
        shapes = [self._tool(name, layout.boxes[f"t:{name}"]) for name in self.tools]
        shapes += [self._key(key, layout.boxes[f"k:{key}"]) for key in self.keys]
        shapes += [_fold_shape(fold, layout.boxes[fold.id]) for fold in self.folds]
        if starts:
            at = layout.boxes["s:"]
            shapes.append(Shape("start", START, "start", at.x, at.y, at.width, at.height, "given", "the start"))
        lines = [self._line(layout, *edge) for edge in self._edges()]
        lines.sort(key=lambda line: ("dead", "", "done", "chosen").index(line.state))
        hidden = len(self.view.nodes) - len(self.drawn)
        return Drawing(layout.width, layout.height, tuple(shapes), tuple(lines), hidden, self._title())

    def _title(self) -> str:
        dead = [name for name in self.drawn if self._tool_state(name) == "dead"]
        route = abridged(self.snapshot.route_after, " then ") or "no route"
        return f"Chosen: {route}." + (f" Cannot be used: {abridged(dead, ', ')}." if dead else "")

    def _is_inside(self, key: str) -> bool:
        """Whether a key only connects a tool of a fold with the next."""
        ends = {name for name in (*self.view.producers(key), *self.view.consumers(key)) if name in self.drawn}
        folds = {self.fold_of[name].id if name in self.fold_of else name for name in ends}
        return len(ends) > 1 and len(folds) == 1

    def _end(self, name: str) -> str:
        """The shape to which an edge of a tool leads."""
        return self.fold_of[name].id if name in self.fold_of else f"t:{name}"

    # -- shapes ------------------------------------------------------------------------------------------------------

    def _tool_state(self, name: str) -> str:
        problem = self.snapshot.problem
        priced = self.snapshot.prices.get(name)
        if name in self.route:
            return "chosen"
        if name in problem.done:
            return "done"
        if name in problem.running:
            return "running"
        return "dead" if name in problem.unusable or (priced is not None and priced.price is None) else ""

    def _price(self, name: str) -> str:
        state = self._tool_state(name)
        if state == "done":
            return "done"
        if state == "running":
            return "running"
        if state == "dead":
            return "∞"
        priced = self.snapshot.prices.get(name)
        return "" if priced is None else usd(priced.price)

    def _tool_box(self, name: str) -> Box:
        width = max(72.0, len(_label(name)) * _CHAR + 2 * _PAD)
        return Box(f"t:{name}", width + _chip(self._price(name)), 34)

    @staticmethod
    def _key_box(key: str) -> Box:
        return Box(f"k:{key}", len(_label(key)) * 7.1 + 22, 26)

    def _tool(self, name: str, at: Placed) -> Shape:
        state, price = self._tool_state(name), self._price(name)
        priced = self.snapshot.prices.get(name)
        why = self.snapshot.problem.unusable.get(name, "") or (priced.why if priced is not None else "")
        words = {"chosen": "on the chosen route", "dead": f"cannot be used: {why}" if why else "cannot be used"}
        title = f"{name}: {words.get(state, state or 'not chosen')}" + (f", {price}" if price.startswith("$") else "")
        chip, focus = at.width - _chip(price), name == self.focus
        return Shape("tool", name, _label(name), at.x, at.y, at.width, at.height, state, title, price, chip, focus)

    @property
    def focus(self) -> str:
        """The tool that the decision is about: the failed one, else the first of the chosen route."""
        return next((name for name in (*self.culprits, *self.snapshot.route_after) if name in self.tools), "")

    def _key(self, key: str, at: Placed) -> Shape:
        hand = self.snapshot.problem.at_hand
        state = "goal" if key in self.goal else ""
        if key in hand:
            state = f"{state} {'given' if hand[key] is None else 'made'}".strip()
        words = {"given": "given", "made": f"given by {hand.get(key)}", "": "not there yet", "goal": "the goal"}
        title = f"{key}: {words.get(state, 'the goal, reached')}"
        return Shape("key", key, _label(key), at.x, at.y, at.width, at.height, state, title)

    # -- lines -------------------------------------------------------------------------------------------------------

    def _edges(self) -> Iterable[tuple[str, str, str, bool, float | None]]:
        """From, to, the tool it is an edge of, whether optional, and the cost of a transition."""
        shown, drawn = set(self.keys), set(self.drawn)
        for name in self._edged():
            node, end = self.view.nodes[name], self._end(name)
            for key in (*node.needs, *node.optional):
                if key in shown:
                    yield f"k:{key}", end, name, key in node.optional, None
            for key in node.gives:
                if key in shown:
                    yield end, f"k:{key}", name, False, None
        for t in self.view.transitions:
            if t.target in drawn and (t.source in drawn or t.source == START):
                a, b = "s:" if t.source == START else self._end(t.source), self._end(t.target)
                if a != b:
                    yield a, b, t.target, False, t.cost

    def _edged(self) -> Iterable[str]:
        """The tools whose edges are drawn: of a fold of alternatives, one that has all their edges."""
        seen = set[tuple[str, tuple[str, ...], tuple[str, ...]]]()
        for name in self.drawn:
            spec = self.view.nodes[name]
            place = (self._end(name), spec.needs, spec.gives)
            if place not in seen:
                seen.add(place)
                yield name

    def _line(self, layout: Layout, a: str, b: str, tool: str, optional: bool, cost: float | None) -> Line:
        start, end = layout.boxes[a], layout.boxes[b]
        bends = layout.bends.get((a, b))
        backwards = bends is None
        if bends is None:
            bends = layout.bends.get((b, a), ())[::-1]
        path, middle = _path(start, end, bends, backwards)
        state = self._tool_state(tool)
        if a.startswith("t:") and cost is not None and self._tool_state(a[2:]) == "dead":
            state = "dead"
        state = {"running": "done"}.get(state, state)
        if state == "chosen" and cost is not None and a != "s:" and self._tool_state(a[2:]) not in ("chosen", "done"):
            state = ""
        label = f"+{usd(cost)}" if cost else ""
        return Line(path, state, optional, cost is not None, label, middle[0], middle[1])


def _fold_label(fold: FoldedTools) -> str:
    words = {"done": "done", "chosen": "on the route", "dead": "out", "running": "running", "": "others"}
    return f"{len(fold.tools)} {words[fold.state]}"


def _fold_shape(fold: FoldedTools, at: Placed) -> Shape:
    title = f"{len(fold.tools)} tools: {abridged(fold.tools, ', ', 30)}"
    return Shape("fold", fold.id, _fold_label(fold), at.x, at.y, at.width, at.height, fold.state, title)


def _label(name: str) -> str:
    return plain(name, _NAME)


def _chip(price: str) -> float:
    return len(price) * 6.4 + 26 if price else 0.0


def _path(
    start: Placed, end: Placed, bends: tuple[tuple[float, float], ...], backwards: bool
) -> tuple[str, tuple[float, float]]:
    """A smooth curve from the right of one box to the left of another, and its middle."""
    x, y = start.x + start.width, start.y + start.height / 2
    to_x, to_y = end.x, end.y + end.height / 2
    if backwards:
        low = max(start.y + start.height, end.y + end.height) + 26
        path = f"M{x:.1f} {y:.1f}C{x + 40:.1f} {low:.1f} {to_x - 40:.1f} {low:.1f} {to_x:.1f} {to_y:.1f}"
        return path, ((x + to_x) / 2, low - 10)
    parts, middle = [f"M{x:.1f} {y:.1f}"], (x, y)
    for next_x, next_y in (*bends, (to_x, to_y)):
        half = (x + next_x) / 2
        parts.append(f"C{half:.1f} {y:.1f} {half:.1f} {next_y:.1f} {next_x:.1f} {next_y:.1f}")
        middle = (half, (y + next_y) / 2)
        x, y = next_x, next_y
    return "".join(parts), middle


__all__ = ["Drawing", "Line", "Shape", "draw"]
