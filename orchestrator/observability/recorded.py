"""The tool graph as recent runs recorded it: what is known of a program whose code is not at hand."""

from orchestrator.core.clock import SystemClock
from orchestrator.core.events import RunStarted
from orchestrator.core.policy import Policy
from orchestrator.graph.revision import GraphRevision, ToolSpec
from orchestrator.health import HealthRegistry
from orchestrator.selection.skills.storage import stored_handbook
from orchestrator.store.protocol import Store

MOST_RUNS = 20
"""Newest runs whose graphs are looked at."""


def recorded_graphs(store: Store, most: int = MOST_RUNS) -> list[GraphRevision]:
    """The graphs that the newest runs began on, each once, the newest first; damaged ones are left out."""
    found: dict[str, GraphRevision] = {}
    for row in store.runs(limit=most):
        first = next(iter(store.records(row.run_id)), None)
        digest = first.body.get("graph") if first is not None and first.kind == RunStarted.__name__ else None
        if not isinstance(digest, str) or digest in found:
            continue
        data = store.graph(digest)
        if data is None:
            continue
        try:
            found[digest] = GraphRevision.from_json(data)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    return list(found.values())


def recorded_tools(store: Store, most: int = MOST_RUNS) -> tuple[str, ...]:
    """The names of the tools in those graphs, sorted."""
    return tuple(sorted({name for graph in recorded_graphs(store, most) for name in graph.nodes}))


def recorded_agents(store: Store, most: int = MOST_RUNS) -> dict[str, ToolSpec]:
    """The agents in those graphs, as the newest of them has each: what declares skills, or has a record of its work."""
    book = stored_handbook(store)
    known = book.profiles if book is not None else {}
    found: dict[str, ToolSpec] = {}
    for graph in recorded_graphs(store, most):
        for name, spec in graph.nodes.items():
            if spec.skills or name in known:
                found.setdefault(name, spec)
    return dict(sorted(found.items()))


def stored_health(store: Store) -> HealthRegistry:
    """What a store knows of the health of tools, under the shipped limits."""
    registry = HealthRegistry(Policy(), SystemClock())
    registry.restore_snapshot(store.load_health())
    registry.publish_deltas()
    registry.poll()
    return registry


__all__ = ["recorded_agents", "recorded_graphs", "recorded_tools", "stored_health"]
