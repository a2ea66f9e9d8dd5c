"""`orchestrator plan`, `tools`, `agents`: prices before anything is run."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def test_the_route_is_shown_with_its_price(cli: Cli) -> None:
    said = cli("plan", "title", "document=quick.txt")
    assert said.exit == 0
    assert said.out.startswith("quick → headline  $0.00")
    assert "text of quick" in said.out
    assert not Path(".orchestrator").exists()


def test_explain_says_what_prices_are_made_of(cli: Cli) -> None:
    assert "works 90%" in cli("plan", "title", "document=quick.txt", "--explain").out


def test_json(cli: Cli) -> None:
    told = cli("plan", "title", "document=quick.txt", "--json").json
    assert told["schema"] == "orchestrator.plan/1"
    assert told["tools"] == ["quick", "headline"]
    assert [step["tool"] for step in told["steps"]] == told["tools"]
    assert told["price"] == pytest.approx(sum(step["price"] for step in told["steps"]))
    assert told["steps"][0]["facts"]["money"] == 0.001


def test_the_alternatives_are_shown(cli: Cli) -> None:
    told = cli("plan", "title", "document=quick.txt", "--json").json
    assert ["thorough", "headline"] in [alternative["tools"] for alternative in told["alternatives"]]
    assert "What it beat" in cli("plan", "title", "document=quick.txt").out


def test_an_impasse_is_explained(cli: Cli) -> None:
    said = cli("plan", "title")
    assert said.exit == 4
    assert "No route to title" in said.out
    assert "cannot be produced: " in said.out
    assert "No tool gives 'document'" in said.out
    told = cli("plan", "title", "--json")
    assert told.exit == 4
    assert "title" in told.json["impasse"]["unreachable"]


def test_health_in_the_store_counts(cli: Cli) -> None:
    cli("health", "--trip", "quick")
    assert cli("plan", "title", "document=quick.txt", "--json").json["tools"] == ["thorough", "headline"]


def test_an_unknown_goal_is_refused(cli: Cli) -> None:
    said = cli("plan", "titel", "document=quick.txt")
    assert said.exit == 2
    assert "Did you mean 'title'" in said.err


def test_tools_are_listed(cli: Cli) -> None:
    said = cli("tools")
    assert said.exit == 0
    assert "document → text" in said.out
    assert "point, size, count, tags, [note] → place" in said.out
    told = cli("tools", "--json").json
    quick = next(tool for tool in told["tools"] if tool["name"] == "quick")
    assert quick["needs"] == {"document": "Path"}
    assert quick["facts"]["money"] == 0.001
    assert quick["file"].endswith("all.py")


def test_agents_are_listed(cli: Cli, project: Path) -> None:
    assert cli("agents").out == "No agents.\n"
    (project / "agents").mkdir()
    (project / "agents" / "a.py").write_text(
        "from orchestrator import Agent\n\ndef sum_up(text: str) -> str:\n    return text\n\n"
        "lead = Agent(sum_up, gives='brief', skills={'summarise': 0.5})\n"
    )
    said = cli("agents")
    assert "summarise 0.5" in said.out
    told = cli("agents", "--json").json
    assert told["agents"][0]["skills"] == {"summarise": 0.5}
    assert told["agents"][0]["trust"] == "local"
