"""The catalogue as a whole: it loads, keys agree, and its reference says what is there."""

import re
from collections.abc import Mapping

import pytest

from orchestrator import Effect, Orchestrator, Tool
from orchestrator.core.process.installation import catalog_root
from tests.catalog.conftest import really_load

ROW = re.compile(r"^\| `(\w+)`([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", re.MULTILINE)


def rows() -> dict[str, tuple[str, str, str, str]]:
    """Name -> (remarks, needs, gives, price), as the reference tells."""
    text = (catalog_root() / "docs" / "catalog.md").read_text(encoding="utf-8")
    return {name: (remark, needs, gives, price) for name, remark, needs, gives, price in ROW.findall(text)}


def test_the_reference_lists_every_tool_with_its_keys_and_its_price(catalog: Mapping[str, Tool]) -> None:
    told = rows()
    assert set(catalog) <= set(told)
    for name, tool in catalog.items():
        remark, needs, gives, price = told[name]
        assert [key for key in needs.split(", ") if key] == list(tool.needs.values()), name
        assert gives.split(", ") == list(tool.gives), name
        assert (f"{tool.planned_latency():g} s" in price) and (f"risk {tool.risk:g}" in price) == bool(tool.risk), name
        assert (f"${tool.planned_cost():g}" in price) == bool(tool.planned_cost()), name
        assert ("agent" in remark) == tool.is_agent, name
        assert (str(tool.effect) in remark) == (tool.effect is not Effect.READ), name


def test_the_reference_lists_what_is_there_when_a_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain")
    monkeypatch.setenv("ORCHESTRATOR_MODEL", "openai:any")
    project = really_load(catalog_root())
    assert {tool.name for tool in (*project.tools, *project.agents)} == set(rows())
    told = {name: row for name, row in rows().items() if name.startswith("model_")}
    for tool in project.agents:
        if tool.name in told:
            _, needs, gives, price = told[tool.name]
            assert (needs.split(", "), gives.split(", ")) == (list(tool.needs.values()), list(tool.gives))
            assert price == f"{tool.latency:g} s, ${tool.planned_cost():g}"


def test_every_tool_says_what_it_is_for(catalog: Mapping[str, Tool]) -> None:
    assert [name for name, tool in catalog.items() if not tool.description] == []


def test_writes_can_be_found_again_or_repeated_safely(catalog: Mapping[str, Tool]) -> None:
    """All but a mail, which nobody can: there, doubt escalates."""
    for name, tool in catalog.items():
        if tool.effect is not Effect.READ and name != "send_smtp":
            assert tool.reconcile or tool.idempotency_key, name


def test_it_loads_twice(orc: Orchestrator) -> None:
    project = really_load(catalog_root())
    assert list(Orchestrator(project.tools, project.agents).graph.view().tools) == list(orc.graph.view().tools)
