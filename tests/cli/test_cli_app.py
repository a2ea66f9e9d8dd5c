"""`--app module:name`, runs of programs whose code is not at hand, and commands that can be pasted."""

import shlex
import sys
from pathlib import Path

import pytest

from orchestrator.cli.apps import load_app
from tests.cli.conftest import Cli, Said

PROGRAM = """
from orchestrator import AskHuman, Demote, Orchestrator, Unavailable, tool

@tool(gives="quote", cost=0.002)
def carrier(parcel: str) -> float:
    raise Unavailable("down")

@tool(gives="quote", cost=0.01)
def table(parcel: str) -> float:
    return 4.2

@tool(gives="label", effect="write", approval=True, compensate=lambda label: None)
def buy(quote: float) -> str:
    return "label"

orc = Orchestrator([carrier, table, buy], store="my shop.db", escalation=[Demote(), AskHuman()])
"""


@pytest.fixture
def cli(cli: Cli) -> Cli:
    """The program as a new process would run it: with nothing imported before."""

    def call(*words: str) -> Said:
        load_app.cache_clear()
        for name in [name for name in sys.modules if name.startswith("shop_")]:
            del sys.modules[name]
        return cli(*words)

    return call


@pytest.fixture
def program(cli: Cli, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module that only this test imports."""
    monkeypatch.delenv("ORCHESTRATOR_PROJECT")
    name = f"shop_{abs(hash(request.node.name))}"
    Path(f"{name}.py").write_text(PROGRAM)
    return name


def test_a_program_is_run_looked_at_and_answered(cli: Cli, program: str) -> None:
    app = f"{program}:orc"
    said = cli("run", "label", "parcel=x", "--app", app, "--run-id", "r 1")
    assert said.exit == 5
    assert [row["run_id"] for row in cli("--app", app, "runs", "--json").json["runs"]] == ["r 1"]
    assert {each["name"] for each in cli("tools", f"--app={app}", "--json").json["tools"]} == {
        "carrier",
        "table",
        "buy",
    }
    assert cli("analyse", "label", "--app", app, "--json").json["single_points"] == ["buy"]
    pasted = next(line.strip() for line in said.out.splitlines() if line.strip().startswith("answer: "))
    words = shlex.split(pasted.removeprefix("answer: "))
    assert words[:3] == ["orchestrator", "resume", "r 1"]
    assert cli(*[word.replace("ANSWER", "1") for word in words[1:]]).exit == 0


def test_printed_commands_name_store_and_project(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_PROJECT")
    where = ("--store", "other runs.db")
    said = cli("run", "letter", "document=quick.txt", "--policy", "human", "--project", str(project), *where)
    assert said.exit == 5
    lines = {line.split(":")[0].strip(): line.split(": ", 1)[1] for line in said.out.splitlines() if ": orch" in line}
    answer, why = shlex.split(lines["answer"]), shlex.split(lines["why"])
    assert cli(*why[1:]).exit == 0
    assert cli(*[word.replace("ANSWER", "1") for word in answer[1:]]).exit == 0


def test_health_of_a_program_from_its_store_alone(cli: Cli, program: str) -> None:
    cli("run", "quote", "parcel=x", "--app", f"{program}:orc")
    where = ("--store", "my shop.db")
    tools = cli("health", *where, "--json").json["tools"]
    assert [tool["name"] for tool in tools] == ["carrier", "table", "buy"]  # the worst first, never called last
    text = cli("health", *where).out
    assert "never called" in text and "unknown" in text
    assert cli("health", "--trip", "table", "--reason", "stale", *where).exit == 0
    assert "stale (by " in cli("health", "table", *where).out
    assert cli("health", "--trip", "tabel", *where).exit == 2


@pytest.mark.parametrize(
    "app", ["nothing:orc", "here", "{program}:nobody", "{program}:carrier", "gone.py:orc", "a b:c d"]
)
def test_a_wrong_app_is_one_clear_error(cli: Cli, program: str, app: str) -> None:
    said = cli("tools", "--app", app.format(program=program))
    assert said.exit == 2
    assert "error:" in said.err and "Traceback" not in said.err


def test_an_app_of_another_kind_says_what_is_there(cli: Cli, program: str) -> None:
    said = cli("tools", "--app", f"{program}:carrier").err
    assert "'carrier' there is the Tool 'carrier'" in said and "It has: orc." in said and "Did you mean" not in said


def test_app_and_project_or_policy_do_not_go_together(cli: Cli, program: str, project: Path) -> None:
    assert cli("tools", "--app", f"{program}:orc", "--project", str(project)).exit == 2
    assert cli("tools", "--app", f"{program}:orc", "--policy", "cautious").exit == 2


def test_another_store_beside_a_program_is_refused_where_work_is_done(cli: Cli, program: str) -> None:
    app = ("--app", f"{program}:orc")
    for words in (("run", "quote", "parcel=x"), ("plan", "quote", "parcel=x"), ("submit", "quote", "parcel=x")):
        said = cli(*words, *app, "--store", "other.db")
        assert (said.exit, Path("other.db").exists()) == (2, False)
        assert "works on its own store; --store other.db does not apply" in said.err
    assert cli("run", "quote", "parcel=x", *app, "--run-id", "mine").exit == 0
    assert cli("runs", *app, "--store", "other.db").exit == 2  # to look at, any store may be named


def test_a_store_in_the_environment_does_not_replace_the_programs(
    cli: Cli, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = ("--app", f"{program}:orc")
    monkeypatch.setenv("ORCHESTRATOR_STORE", "other.db")
    assert cli("run", "quote", "parcel=x", *app, "--run-id", "mine").exit == 0
    assert [row["run_id"] for row in cli("runs", "--json", *app).json["runs"]] == ["mine"]
    assert not Path("other.db").exists()


def test_the_store_of_a_program_is_maintained(cli: Cli, program: str) -> None:
    app = ("--app", f"{program}:orc")
    assert cli("run", "quote", "parcel=x", *app, "--run-id", "mine").exit == 0
    said = cli("store", "check", *app)
    assert (said.exit, "1 reached" in said.out, "my shop.db" in said.out) == (0, True, True)
    assert cli("store", "migrate", *app).exit == 0
    assert cli("store", "copy", "copied.db", *app).exit == 0
    assert cli("why", "mine", "--store", "copied.db").exit == 0
    assert "deleted 0 runs" in cli("store", "prune", "--older-than", "1d", *app).out
    assert not Path(".orchestrator/runs.db").exists()


def test_a_program_in_memory_has_no_store_to_maintain(cli: Cli, program: str) -> None:
    Path(f"{program}.py").write_text(PROGRAM.replace('store="my shop.db", ', ""))
    said = cli("store", "check", "--app", f"{program}:orc")
    assert (said.exit, "keeps its runs in memory" in said.err) == (2, True)


@pytest.mark.parametrize("words", [("init", "new"), ("gateway", "servers.json")])
def test_a_command_that_takes_no_program_says_so(cli: Cli, program: str, words: tuple[str, ...]) -> None:
    said = cli(*words, "--app", f"{program}:orc")
    assert (said.exit, "works with no orchestrator of yours" in said.err) == (2, True)


def test_an_input_that_a_program_lacks_is_named_with_a_line_to_paste(cli: Cli, program: str) -> None:
    Path(f"{program}.py").write_text(PROGRAM.replace(", escalation=[Demote(), AskHuman()]", ""))
    said = cli("run", "quote", "--app", f"{program}:orc")
    assert said.exit == 2
    assert f"orchestrator run quote parcel=PARCEL --app {program}:orc" in said.err
