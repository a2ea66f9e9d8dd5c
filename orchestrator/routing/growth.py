"""Updates a compiled graph to its live graph: removed tools, new tools, changed transitions."""

from bisect import insort

from orchestrator.core.enums import START
from orchestrator.graph.revision import GraphRevision
from orchestrator.graph.spec import ToolSpec

from .compiled import SPARE, Compiled


def leads_to(earlier: GraphRevision, later: GraphRevision) -> bool:
    """Whether the log of the live graph says what has changed from one revision to the other."""
    return earlier.log is later.log and earlier.position <= later.position


def grow(c: Compiled, view: GraphRevision) -> bool:
    """Update a compiled graph to a later revision of the same live graph; False if rebuilding is cheaper."""
    names = sorted(set(view.log[c.view.position : view.position]))
    specs = [view.nodes[name] for name in names if name in view.nodes]
    keys = sorted({key for spec in specs for key in _keys_of(spec) if key not in c.key})
    if not _has_room(c, names, keys):
        return False
    c.view = view
    for key in keys:
        _add_key(c, key)
    gone = [c.tool[name] for name in names if name in c.tool and view.nodes.get(name) is not c.nodes[c.tool[name]]]
    led = {target for tool in gone for target, _ in c.out[tool]}
    again = sorted({*led, *(c.tool[name] for name in names if name in c.tool)} - set(gone))
    touched = _touched(c, gone, again, names)
    loose = [tool for tool in gone if not c.into[tool] and not c.out[tool]]
    places = {place for tool in {*touched, *gone} - set(loose) for place in c.places_before(tool)}
    for tool in (*touched, *gone):
        c.unclassify(tool)
    for tool in (*again, *gone):
        _detach(c, tool)
    for tool in gone:
        _drop(c, tool)
    fresh = [_insert(c, view.nodes[name]) for name in names if name in view.nodes and name not in c.tool]
    for tool in (*again, *fresh):
        c.join(tool)
    new = [tool for tool in fresh if not c.into[tool]]
    live = sorted({*touched, *fresh} - set(new))
    for tool in (*live, *new):
        c.classify(tool)
    for tool in live:
        places.update(c.places_before(tool))
    for key in {key for tool in gone for key in _keys_of(c.nodes[tool])}:
        if key not in view.keys:
            c.key.pop(key, None)
    c.forget_ways(places)
    for tool in loose:
        c.drop_ways(tool)
    for tool in new:
        c.add_ways(tool)
    c.growths.append(([*gone, *live], places, new))
    return True


def _has_room(c: Compiled, names: list[str], keys: list[str]) -> bool:
    dead = len(c.nodes) - len(c.tool)
    return (
        len(names) <= max(SPARE, len(c.tool) // 32)
        and len(c.keys) + len(keys) <= c.tools
        and len(c.nodes) + len(names) <= c.room
        and dead <= SPARE + len(c.tool) // 2
        and len(c.transition_source) <= 2 * c.transitions + 16 * SPARE
    )


def _keys_of(spec: ToolSpec) -> tuple[str, ...]:
    return (*spec.needs, *spec.optional, *spec.gives)


def _add_key(c: Compiled, key: str) -> None:
    c.key[key] = len(c.keys)
    c.keys.append(key)
    for by_key in (c.producers, c.consumers, c.folded, c.unfolded):
        by_key.append([])


def _touched(c: Compiled, gone: list[int], again: list[int], names: list[str]) -> list[int]:
    """The tools that stay and have other transitions into them or out of them: before the change, or after it."""
    touched = set(again)
    for tool in (*gone, *again):
        touched.update(place - c.tools for place in c.into[tool] if c.tools <= place < c.begin)
    for name in {*names, *(c.names[tool] for tool in again)}:
        sources = [t.source for t in c.view.incoming(name) if t.source != START]
        touched.update(c.tool[source] for source in sources if source in c.tool)
    return sorted(touched - set(gone))


def _detach(c: Compiled, tool: int) -> None:
    """Take out the transitions that lead to a tool."""
    for place, start in zip(c.into[tool], c.starts(tool), strict=False):
        (c.entries if place == c.begin else c.out[place - c.tools]).remove((tool, start))
    c.into[tool], c.first[tool] = (), tool


def _drop(c: Compiled, tool: int) -> None:
    """Remove a tool; its number is not reused."""
    for k in c.gives[tool]:
        c.producers[k].remove(tool)
    for k in c.needs[tool]:
        c.consumers[k].remove(tool)
    c.effects.discard(tool)
    del c.tool[c.names[tool]]


def _insert(c: Compiled, node: ToolSpec) -> int:
    """Number a tool, and put it among the others by its name."""
    tool = c.append(node)
    for lists, keys in ((c.producers, c.gives[tool]), (c.consumers, c.needs[tool])):
        for k in keys:
            lists[k].pop()
            insort(lists[k], tool, key=c.names.__getitem__)
    return tool
