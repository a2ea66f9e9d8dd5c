"""Large drawings: what is put together, and what stays in sight."""

from orchestrator.graph.revision import GraphRevision, ToolSpec, Transition
from orchestrator.ui.folding import folded


def spec(name: str, needs: str, gives: str) -> ToolSpec:
    return ToolSpec(name, (needs,), (), (gives,))


CHAIN = [spec(f"s{n:02}", f"k{n:02}", f"k{n + 1:02}") for n in range(20)]


def test_a_chain_is_folded_between_its_ends_and_what_matters() -> None:
    view = GraphRevision([*CHAIN, spec("spare", "k08", "k09")])
    state = {"s08": "dead", "spare": "chosen"}
    folds = folded(
        tuple(view.nodes), view, lambda name: state.get(name, "done" if name < "s08" else "chosen"), {"s08", "s12"}
    )
    assert [(fold.tools[0], fold.tools[-1], fold.state) for fold in folds] == [
        ("s01", "s06", "done"),
        ("s14", "s18", "chosen"),
    ]


def test_transitions_and_second_takers_break_a_chain() -> None:
    more = spec("reader", "k10", "note")
    view = GraphRevision([*CHAIN, more], [Transition("s03", "s05", 0.1)])
    folds = folded(tuple(view.nodes), view, lambda name: "done", set())
    assert [(fold.tools[0], fold.tools[-1]) for fold in folds] == [
        ("s01", "s03"),
        ("s06", "s08"),
        ("s11", "s18"),
    ]


def test_alternatives_in_one_state_are_folded_but_for_one_and_the_culprit() -> None:
    view = GraphRevision([spec(f"mirror{n:02}", "q", "page") for n in range(30)])
    folds = folded(tuple(view.nodes), view, lambda name: "" if name == "mirror29" else "dead", {"mirror28"})
    assert [(len(fold.tools), fold.state) for fold in folds] == [(27, "dead")]
    assert not {"mirror00", "mirror28", "mirror29"} & set(folds[0].tools)


def test_a_small_drawing_shows_everything() -> None:
    view = GraphRevision(CHAIN[:10])
    assert folded(tuple(view.nodes), view, lambda name: "done", set()) == ()
