"""Rehearsals: every single fault and every pair, on stand-ins."""

from orchestrator import Goal, Orchestrator, Policy, Status, Tool, tool
from orchestrator.testing.rehearsal import LOST_ANSWER, Breakdown, rehearse


@tool(gives="quote", cost=0.002)
def carrier(parcel: str) -> float:
    raise AssertionError("a rehearsal calls no tool")


@tool(gives="quote", cost=0.010)
def table(parcel: str) -> float:
    raise AssertionError("a rehearsal calls no tool")


def refuse(quote: float) -> bool:
    raise AssertionError("a rehearsal calls no predicate")


@tool(gives="label", effect="write", ensure=refuse, approval=True)
def buy(quote: float) -> str:
    raise AssertionError("a rehearsal calls no tool")


async def test_every_single_fault_and_every_pair_has_an_outcome() -> None:
    view = Orchestrator([carrier, table, buy]).graph.view()
    found = await rehearse(view, Goal("label", demotions=["quote"]), ["parcel"], Policy.load("balanced"))
    down = {name: Breakdown(name) for name in ("carrier", "table", "buy")}
    lost = Breakdown("buy", LOST_ANSWER)
    assert found.plain.status is Status.REACHED and found.plain.tools == ("carrier", "buy")
    assert set(found.faults) == {*down.values(), lost}
    assert found.complete and len(found.pairs) == 5  # six pairs, without that of a tool with itself

    def status(*faults: Breakdown) -> Status:
        each = found.of(*faults)
        assert each is not None
        return each.status

    assert status(down["carrier"]) is Status.REACHED
    assert status(down["buy"]) is Status.DEMOTED
    assert status(down["carrier"], down["table"]) is Status.ESCALATED
    ambiguous = found.of(lost)
    assert ambiguous is not None
    assert ambiguous.status is Status.ESCALATED and ambiguous.uncompensated == ("buy",)
    rerouted = found.of(down["carrier"])
    assert rerouted is not None and rerouted.tools == ("table", "buy") and rerouted.failed == ("carrier",)


async def test_transitions_and_several_outputs_are_kept() -> None:
    both = Tool(lambda **_: None, name="both", needs=["x"], gives=["a", "b"])
    last = Tool(lambda **_: None, name="last", needs=["a", "b"], gives="c")
    orc = Orchestrator([both, last])
    orc.connect("START", "both", cost=0.5)
    orc.connect("both", "last")
    found = await rehearse(orc.graph.view(), Goal("c"), ["x"], Policy())
    assert found.plain.tools == ("both", "last")
    assert [each.status for each in found.singles] == [Status.ESCALATED] * 2
