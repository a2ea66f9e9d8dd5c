"""The tool graph as recorded by recent runs, for a program that is not loaded."""

from contextlib import suppress

from orchestrator.core.clock import SystemClock
from orchestrator.core.events import RunStarted
from orchestrator.core.policy import Policy
from orchestrator.graph.revision import GraphRevision, ToolSpec
from orchestrator.health import HealthRegistry
from orchestrator.selection.skills.storage import stored_handbook
from orchestrator.store.protocol import Store

MOST_RUNS = 20
"""Number of newest runs whose graphs are read."""


def recorded_graphs(store: Store, most: int = MOST_RUNS) -> list[GraphRevision]:
    """The initial graphs of the newest runs, each once, the newest first; damaged ones are left out."""
    rows = store.runs(limit=most)
    began = store.records_of([row.run_id for row in rows], (RunStarted.__name__,))
    digests = [record.body.get("graph") for row in rows for record in began.get(row.run_id, ())[:1]]
    known = list(dict.fromkeys(digest for digest in digests if isinstance(digest, str)))
    stored = store.graphs(known)
    found: list[GraphRevision] = []
    for digest in known:
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            found.append(GraphRevision.from_json(stored[digest]))
    return found


def recorded_tools(store: Store, most: int = MOST_RUNS) -> tuple[str, ...]:
    """The names of the tools in those graphs, sorted."""
    return tuple(sorted({name for graph in recorded_graphs(store, most) for name in graph.nodes}))


def recorded_agents(store: Store, most: int = MOST_RUNS) -> dict[str, ToolSpec]:
    """The agents in those graphs, each from the newest graph: tools that declare skills or have a profile."""
    book = stored_handbook(store)
    known = book.profiles if book is not None else {}
    found: dict[str, ToolSpec] = {}
    for graph in recorded_graphs(store, most):
        for name, spec in graph.nodes.items():
            if spec.skills or name in known:
                found.setdefault(name, spec)
    return dict(sorted(found.items()))


def stored_health(store: Store) -> HealthRegistry:
    """The health of tools in a store, under the default limits."""
    registry = HealthRegistry(Policy(), SystemClock())
    registry.restore_snapshot(store.load_health())
    registry.entries.publish_deltas()
    registry.poll()
    return registry


__all__ = ["recorded_agents", "recorded_graphs", "recorded_tools", "stored_health"]
