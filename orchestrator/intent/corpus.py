"""Default examples of goals, from the names and descriptions in the graph."""

from orchestrator.graph.revision import GraphRevision


def examples_of(view: GraphRevision) -> dict[str, list[str]]:
    """For each key that a tool gives: its name in words, and what the tools that give it say they do."""
    found: dict[str, list[str]] = {}
    for key in sorted(view.keys):
        producers = view.producers(key)
        if producers:
            descriptions = [view.tools[name].description.split("\n\n")[0] for name in producers]
            found[key] = [_words(key), *(text for text in descriptions if text), *(_words(name) for name in producers)]
    return found


def _words(name: str) -> str:
    return name.replace("_", " ").replace(".", " ")
