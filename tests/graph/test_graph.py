"""The tool graph: what it refuses, what its views hold, and the graph that networkx sees."""

import math
from typing import Annotated, Any

import pytest

from orchestrator import NoRoute, Orchestrator
from orchestrator.core.enums import START
from orchestrator.core.policy import Policy
from orchestrator.errors import DefinitionError
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import NoHealthFacts, PriceTable
from orchestrator.graph.revision import GraphRevision
from orchestrator.graph.tool import Tool


def fetch(url: str) -> bytes:
    """A tool's function."""
    return url.encode()


def parse(page: bytes) -> list[str]:
    """A tool's function."""
    return [str(page)]


def small() -> ToolGraph:
    """Two tools and a transition."""
    graph = ToolGraph()
    graph.add(Tool(fetch, gives="page", cost=0.5))
    graph.add(Tool(parse, gives="words", cost=0.25))
    graph.connect(START, "fetch", cost=0.125)
    return graph


def test_a_name_is_taken_once() -> None:
    graph = small()
    with pytest.raises(DefinitionError, match="two tools of the name 'fetch'"):
        graph.add(Tool(fetch, gives="other"))


def test_start_is_no_tool() -> None:
    with pytest.raises(DefinitionError, match="no tool can have that name"):
        ToolGraph().add(Tool(fetch, name=START))


def test_types_that_no_value_fits_are_an_error_that_names_both_places() -> None:
    def number_words(page: str) -> int:
        return len(page)

    graph = small()
    with pytest.raises(DefinitionError) as refused:
        graph.add(Tool(number_words))
    said = str(refused.value)
    assert "'fetch' gives bytes (" in said
    assert "'number_words' takes str (" in said
    assert said.count("test_graph.py:") == 2
    assert "Annotate the parameter of 'number_words' as bytes, or the result of 'fetch' as str" in said
    assert "number_words" not in graph


def test_unannotated_and_refined_types_agree() -> None:
    def any_page(page):  # type: ignore[no-untyped-def]
        return page

    def checked(page: Annotated[bytes, "short"]) -> int:
        return len(page)

    graph = small()
    graph.add(Tool(any_page))
    graph.add(Tool(checked))
    assert graph.view().key_type("page") == Annotated[bytes, "short"]
    graph.remove("checked")
    assert graph.view().key_type("page") is bytes
    assert graph.view().key_type("unheard of") is Any


def test_removing_a_tool_frees_its_key() -> None:
    def number(url: str) -> int:
        return len(url)

    graph = small()
    graph.remove("fetch")
    graph.remove("parse")
    graph.add(Tool(number, gives="page"))
    assert graph.view().key_type("page") is int
    assert graph.view().transitions == ()


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("fetch", "fetch", "to itself"),
        ("fetch", "parsee", "no tool 'parsee'. Did you mean 'parse'"),
        ("parse", START, "where a run begins"),
        (START, "fetch", "connected already"),
    ],
)
def test_connect_refuses(a: str, b: str, message: str) -> None:
    graph = small()
    before = graph.revision
    with pytest.raises(DefinitionError, match=message):
        graph.connect(a, b)
    assert graph.revision == before


@pytest.mark.parametrize("cost", [-1.0, math.nan, math.inf, 1e12, True, "1"])
def test_connect_refuses_costs_that_are_none(cost: Any) -> None:
    with pytest.raises(DefinitionError, match=r"cost( of the transition.*)? is a number"):
        small().connect("fetch", "parse", cost=cost)


@pytest.mark.parametrize("cost", [lambda usage: math.nan, lambda usage: -1.0, lambda usage: usage["x"] / 0])
def test_a_cost_function_that_cannot_say_is_refused(cost: Any) -> None:
    with pytest.raises(DefinitionError, match="cost"):
        ToolGraph().add(Tool(fetch, cost=cost))


def test_a_view_is_one_revision() -> None:
    graph = small()
    view = graph.view()
    assert view is graph.view()
    graph.connect("fetch", "parse", cost=1)
    assert graph.view() is not view
    assert graph.view().revision == view.revision + 1
    assert [t.target for t in view.transitions] == ["fetch"]
    assert view.producers("page") == ("fetch",)
    assert view.consumers("page") == ("parse",)
    assert view.incoming("parse") == ()
    assert [t.source for t in graph.view().incoming("parse")] == ["fetch"]
    assert view.keys == {"url", "page", "words"}
    assert view.relevant(("words",)) == ("fetch", "parse")


def test_the_digest_does_not_see_the_order_of_writing() -> None:
    other = ToolGraph()
    other.add(Tool(parse, gives="words", cost=0.25))
    other.add(Tool(fetch, gives="page", cost=0.5))
    other.connect(START, "fetch", cost=0.125)
    assert other.view().digest == small().view().digest
    other.connect("fetch", "parse")
    assert other.view().digest != small().view().digest


def test_a_view_survives_json() -> None:
    graph = small()
    graph.add(Tool(fetch, name="write", gives="saved", effect="write", compensate=print, undo_cost=0.5, risk=0.25))
    view = graph.view()
    again = GraphRevision.from_json(view.to_json())
    assert again.digest == view.digest
    assert again.revision == view.revision
    assert again.nodes["write"].undo_cost == 5 * 10**11
    assert again.nodes["fetch"].undo_cost is None
    assert not again.tools


def test_override_puts_the_old_tool_back() -> None:
    graph = small()
    old = graph["fetch"]
    stand_in = Tool(lambda url: b"", name="fetch", gives="page")
    with graph.override(stand_in):
        assert graph["fetch"] is stand_in
        assert [t.source for t in graph.view().incoming("fetch")] == [START]
    assert graph["fetch"] is old
    assert len(graph) == 2
    assert {tool.name for tool in graph} == {"fetch", "parse"}


def test_an_override_of_another_type_changes_nothing() -> None:
    def wrong(url: str) -> int:
        return 1

    graph = small()
    with pytest.raises(DefinitionError, match="does not fit"):
        graph.replace(Tool(wrong, name="fetch", gives="page"))
    assert graph["fetch"].call is fetch
    with pytest.raises(DefinitionError, match="does not fit"):
        graph.add(Tool(wrong, name="other", gives="page"))


class Down(NoHealthFacts):
    """Health with some tools down."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def success(self, name: str) -> float:
        return 0.0 if name in self.names else 1.0


def test_networkx_sees_keys_costs_and_current_weights() -> None:
    graph = small()
    assert graph.nx.edges["fetch", "parse"] == {"keys": ("page",), "cost": 0.0, "weight": 0.25}
    health = Down()
    prices = PriceTable(graph, Policy(step_cost=0), facts=health)
    graph.use_weights(prices)
    assert graph.nx.edges[START, "fetch"] == {"keys": (), "cost": 0.125, "weight": 0.625}
    health.names.add("parse")
    prices.invalidate(["parse"])
    assert math.isinf(graph.nx.edges["fetch", "parse"]["weight"])
    live = graph.nx
    health.names.clear()
    prices.invalidate(["parse"])
    assert graph.nx is live
    assert live.edges["fetch", "parse"]["weight"] == 0.25
    graph.connect("fetch", "parse", cost=1)
    assert graph.nx.edges["fetch", "parse"] == {"keys": ("page",), "cost": 1.0, "weight": 1.25}


def gated() -> ToolGraph:
    graph = small()
    graph.add(Tool(lambda: "deleted", name="delete_all", effect="write"))
    graph.connect("fetch", "delete_all", cost=0.5)
    return graph


def test_removing_a_tool_never_opens_what_it_gated() -> None:
    graph = gated()
    graph.remove("fetch")
    assert [t.source for t in graph.view().incoming("delete_all")] == ["fetch (removed)"]
    graph.add(Tool(fetch, gives="page"))
    assert [t.source for t in graph.view().incoming("delete_all")] == ["fetch (removed)"]
    graph.connect("fetch", "delete_all")
    assert [t.source for t in graph.view().incoming("delete_all")] == ["fetch"]
    assert ("fetch (removed)", "delete_all") not in graph.nx.edges


def test_an_impasse_names_the_removed_tool_that_gates_another() -> None:
    chain: list[tuple[str, list[str]]] = [("one", []), ("two", ["one"]), ("three", ["two"])]
    orc = Orchestrator([Tool(lambda **_: 1, name=name, needs=needs, gives=name) for name, needs in chain])
    orc.connect("one", "two")
    orc.connect("two", "three")
    orc.remove("one")
    with pytest.raises(NoRoute, match=r"two starts only after one \(removed\)"):
        orc.plan("three", {"one": 1})


def test_a_gated_tool_that_comes_back_is_closed_until_it_is_connected() -> None:
    graph = gated()
    old = graph.remove("delete_all")
    graph.add(old)
    assert [t.source for t in graph.view().incoming("delete_all")] == ["fetch (removed)"]


def test_another_way_in_stays_the_only_one() -> None:
    graph = gated()
    graph.connect("parse", "delete_all")
    graph.remove("fetch")
    assert [t.source for t in graph.view().incoming("delete_all")] == ["parse"]


def test_a_replaced_tool_keeps_its_transitions() -> None:
    graph = gated()
    graph.replace(Tool(fetch, gives="page", cost=9))
    assert [t.source for t in graph.view().incoming("delete_all")] == ["fetch"]
