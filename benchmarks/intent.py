"""How often requests in words are understood: by examples alone, no model.

    python benchmarks/intent.py

The requests were held out: the examples are others. `right` and `wrong` are those where it was sure; the rest it asks
back about, and `offered` counts those of them whose question names the right goal. `taken` are requests for something
else entirely that it took for one of its goals.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from orchestrator.core.goal import Goal
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.tool import Tool
from orchestrator.intent import Interpreter
from tests.intent.request_corpus import CLINIC, HOUSEHOLD, OFFICE, Corpus


def measure(corpus: Corpus) -> tuple[int, int, int, int, int, float]:
    """Held-out requests, right, wrong, offered, taken, and milliseconds per request."""
    graph = ToolGraph()
    for goal in corpus.examples:
        graph.add(Tool(lambda: "", name=f"give_{goal}", gives=goal))
    interpreter, view = Interpreter(corpus.examples), graph.view()
    right = wrong = offered = 0
    held_out = [(goal, text) for goal, texts in corpus.held_out.items() for text in texts]
    began = time.perf_counter()
    for goal, text in held_out:
        request = interpreter.read(text, view)
        right += request.goal == Goal(goal)
        wrong += request.goal not in (None, Goal(goal))
        offered += request.goal is None and goal in [guess.goal.name for guess in request.candidates]
    each = (time.perf_counter() - began) / len(held_out) * 1000
    taken = sum(interpreter.read(text, view).goal is not None for text in corpus.elsewhere)
    return len(held_out), right, wrong, offered, taken, each


def main() -> None:
    """Print the table."""
    print("| requests | held out | right | wrong | asked back, right one offered | elsewhere, taken | ms each |")
    print("|---|---|---|---|---|---|---|")
    for name, corpus in (("office", OFFICE), ("household", HOUSEHOLD), ("clinic", CLINIC)):
        count, right, wrong, offered, taken, each = measure(corpus)
        back = count - right - wrong
        print(
            f"| {name} | {count} | {right} ({right / count:.0%}) | {wrong} | {back}, {offered} "
            f"| {len(corpus.elsewhere)}, {taken} | {each:.1f} |"
        )


if __name__ == "__main__":
    main()
