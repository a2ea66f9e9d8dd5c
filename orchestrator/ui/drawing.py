"""The tool graph as it was at a decision, as shapes for a template to draw: what is where, and in what state."""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.enums import START
from orchestrator.core.text import plain, usd
from orchestrator.graph.revision import GraphRevision

from .decision_view import DecisionSnapshot
from .layout import Box, Layout, Placed, lay_out

MOST_TOOLS = 40
"""A drawing shows up to so many tools: those that matter first."""
_CHAR = 7.7
_PAD = 10.0
_NAME = 24


@dataclass(frozen=True, slots=True)
class Shape:
    """A tool or a key."""

    kind: str
    """`tool`, `key` or `start`."""
    name: str
    label: str
    x: float
    y: float
    width: float
    height: float
    state: str
    """A tool: `chosen`, `done`, `running`, `dead` or nothing; a key: `given`, `made`, `goal` or nothing."""
    told: str
    """In words, for people who do not see the drawing."""
    price: str = ""
    """On the edge that leaves a tool."""
    chip_x: float = 0.0
    """Where the price begins, from the left of the shape."""


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
    told: str


def draw(snapshot: DecisionSnapshot) -> Drawing | None:
    """The graph of a snapshot; `None` when it is not recorded."""
    if snapshot.view is None:
        return None
    return _Artist(snapshot, snapshot.view).drawing()


class _Artist:
    def __init__(self, snapshot: DecisionSnapshot, view: GraphRevision) -> None:
        self.snapshot, self.view = snapshot, view
        self.tools = _shown(snapshot, view)
        self.route = set(snapshot.standing) - (set(snapshot.problem.done) - set(snapshot.route))
        goal = set(snapshot.problem.goal)
        used = {key for name in self.tools for key in (*view.nodes[name].needs, *view.nodes[name].optional)}
        made = {key for name in self.tools for key in view.nodes[name].gives}
        self.keys = sorted(used | goal | {key for key in made if key in snapshot.problem.at_hand})
        self.goal = goal

    def drawing(self) -> Drawing:
        boxes = [self._tool_box(name) for name in self.tools] + [self._key_box(key) for key in self.keys]
        starts = any(t.source == START and t.target in self.tools for t in self.view.transitions)
        boxes += [Box("s:", 64, 26)] if starts else []
        layout = lay_out(boxes, [(a, b) for a, b, *_ in self._edges()])
        shapes = [self._tool(name, layout.boxes[f"t:{name}"]) for name in self.tools]
        shapes += [self._key(key, layout.boxes[f"k:{key}"]) for key in self.keys]
        if starts:
            at = layout.boxes["s:"]
            shapes.append(Shape("start", START, "start", at.x, at.y, at.width, at.height, "given", "the start"))
        lines = [self._line(layout, *edge) for edge in self._edges()]
        lines.sort(key=lambda line: ("dead", "", "done", "chosen").index(line.state))
        hidden = len(self.view.nodes) - len(self.tools)
        return Drawing(layout.width, layout.height, tuple(shapes), tuple(lines), hidden, self._told())

    def _told(self) -> str:
        dead = [name for name in self.tools if self._tool_state(name) == "dead"]
        route = " then ".join(self.snapshot.standing) or "no route"
        return f"Chosen: {route}." + (f" Cannot be used: {', '.join(dead)}." if dead else "")

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
        told = f"{name}: {words.get(state, state or 'not chosen')}" + (f", {price}" if price.startswith("$") else "")
        chip = at.width - _chip(price)
        return Shape("tool", name, _label(name), at.x, at.y, at.width, at.height, state, told, price, chip)

    def _key(self, key: str, at: Placed) -> Shape:
        hand = self.snapshot.problem.at_hand
        state = "goal" if key in self.goal else ""
        if key in hand:
            state = f"{state} {'given' if hand[key] is None else 'made'}".strip()
        words = {"given": "given", "made": f"given by {hand.get(key)}", "": "not there yet", "goal": "the goal"}
        told = f"{key}: {words.get(state, 'the goal, reached')}"
        return Shape("key", key, _label(key), at.x, at.y, at.width, at.height, state, told)

    # -- lines -------------------------------------------------------------------------------------------------------

    def _edges(self) -> Iterable[tuple[str, str, str, bool, float | None]]:
        """From, to, the tool it is an edge of, whether optional, and the cost of a transition."""
        shown = set(self.keys)
        for name in self.tools:
            node = self.view.nodes[name]
            for key in (*node.needs, *node.optional):
                yield f"k:{key}", f"t:{name}", name, key in node.optional, None
            for key in node.gives:
                if key in shown:
                    yield f"t:{name}", f"k:{key}", name, False, None
        for t in self.view.transitions:
            if t.target in self.tools and (t.source in self.tools or t.source == START):
                yield (f"t:{t.source}" if t.source != START else "s:"), f"t:{t.target}", t.target, False, t.cost

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


def _shown(snapshot: DecisionSnapshot, view: GraphRevision) -> tuple[str, ...]:
    """The tools to draw: those of the past, and those that could lead to the goal; of too many, what matters first."""
    problem = snapshot.problem
    past = {*problem.done, *problem.running}
    relevant = _leading_to(snapshot, view)
    names = tuple(name for name in view.nodes if name in relevant or name in past)
    if len(names) <= MOST_TOOLS:
        return names
    runner_up = snapshot.runner_up.tools if snapshot.runner_up is not None else ()
    first = [
        *snapshot.standing,
        *problem.running,
        *runner_up,
        *problem.unusable,
        *reversed(list(problem.done)),
        *snapshot.prices,
    ]
    found = dict.fromkeys(name for name in first if name in view.nodes)
    return tuple(sorted(list(found)[:MOST_TOOLS]))


def _leading_to(snapshot: DecisionSnapshot, view: GraphRevision) -> set[str]:
    """The tools from which some path leads to the goal."""
    found: set[str] = set()
    keys = [
        *snapshot.problem.goal,
        *(key for name in snapshot.standing if name in view.nodes for key in view.nodes[name].gives),
    ]
    seen, tools = set(keys), [name for key in keys for name in view.producers(key)]
    while tools:
        name = tools.pop()
        if name in found or name not in view.nodes:
            continue
        found.add(name)
        tools += [t.source for t in view.incoming(name)]
        for key in (*view.nodes[name].needs, *view.nodes[name].optional):
            if key not in seen:
                seen.add(key)
                tools += view.producers(key)
    return found


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
