"""`orchestrator run`: outcomes, exit statuses, what is shown, and what a mistake leaves behind."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def test_a_goal_that_is_reached(cli: Cli) -> None:
    said = cli("run", "title", "document=quick.txt")
    assert said.exit == 0
    assert "✓ quick" in said.out
    assert "title reached" in said.out
    assert said.out.rstrip().endswith("\nquick")
    assert said.err == ""


def test_a_run_that_heals_says_how(cli: Cli) -> None:
    said = cli("run", "title", "document=slow.txt")
    assert said.exit == 0
    assert "✗ quick" in said.out
    assert "outage: [bold]not[/bold] quick" in said.out
    assert "reroute" in said.out
    assert "thorough → headline" in said.out


def test_plain_lines_in_a_pipe(cli: Cli) -> None:
    said = cli("run", "title", "document=slow.txt")
    assert "\x1b" not in said.out + said.err
    assert "\r" not in said.out


def test_json_has_a_stable_schema(cli: Cli) -> None:
    said = cli("run", "title", "document=slow.txt", "--json", "--run-id", "r1")
    told = said.json
    assert said.exit == told["exit_status"] == 0
    assert set(told) == {
        "schema", "run_id", "status", "exit_status", "goal", "value", "route", "tried", "failures", "decisions",
        "compensated", "uncompensated", "impasse", "questions", "price", "cost", "seconds", "llm_calls", "trace_id",
        "ledger",
    }  # fmt: skip
    assert told["schema"] == "orchestrator.run/1"
    assert told["run_id"] == "r1"
    assert told["value"] == "slow"
    assert [each["tool"] for each in told["tried"]] == ["quick", "thorough", "headline"]
    assert told["failures"][0]["kind"] == "outage"
    assert any(told["failures"][0]["id"] in decision["answers"] for decision in told["decisions"])


def test_a_lesser_goal_exits_with_3(cli: Cli) -> None:
    said = cli("run", "never", "document=quick.txt", "--demote", "text+title", "--demote", "text")
    assert said.exit == 3
    assert "demoted: text + title reached instead" in said.out


def test_no_goal_exits_with_4(cli: Cli) -> None:
    said = cli("run", "never", "document=quick.txt")
    assert said.exit == 4
    assert "never was not reached" in said.out
    assert "we never do that" in said.out


def test_a_question_exits_with_5_and_is_answered_by_resume(cli: Cli) -> None:
    said = cli("run", "letter", "document=quick.txt", "--run-id", "post")
    assert said.exit == 5
    assert "waits for a person" in said.out
    assert "orchestrator resume post" in said.out
    answered = cli("resume", "post", "yes", "--by", "Ada")
    assert answered.exit == 0
    assert "posted quick" in answered.out
    assert "answered by Ada" in cli("why", "post").out


def test_a_waiting_run_shows_its_question_again_in_a_pipe(cli: Cli) -> None:
    cli("run", "named", "document=quick.txt", "--run-id", "who")
    again = cli("resume", "who")
    assert again.exit == 5
    assert "What is your name?" in again.out
    assert "Ada" in cli("resume", "who", "Ada").out


def test_one_of_several_questions_is_answered_by_its_id(cli: Cli) -> None:
    asked = cli("run", "named+from_where", "document=quick.txt", "--run-id", "both", "--json").json["questions"]
    assert len(asked) == 2
    ids = {question["text"]: question["id"] for question in asked}
    name = ids.pop("What is your name?")
    assert f"orchestrator resume both ANSWER --question {name}" in cli("resume", "both").out
    assert "has no open question 'nope'" in cli("resume", "both", "Ada", "--question", "nope").err
    left = cli("resume", "both", "Ada", "--question", name, "--json")
    assert [question["text"] for question in left.json["questions"]] == list(ids)
    assert cli("resume", "both", "Rome").exit == 0


def test_an_answer_that_is_none_is_refused(cli: Cli) -> None:
    cli("run", "letter", "document=quick.txt", "--run-id", "post")
    said = cli("resume", "post", "perhaps")
    assert said.exit == 2
    assert "error: " in said.err
    assert cli("resume", "post", "no").exit == 4


def test_a_person_on_the_ladder_is_asked_when_no_route_is_left(cli: Cli) -> None:
    said = cli("run", "never", "document=quick.txt", "--policy", "human", "--run-id", "stuck", "--demote", "title")
    assert said.exit == 3  # the rung before had an answer
    said = cli("run", "never", "document=slow.txt", "--policy", "human", "--run-id", "stuck2")
    assert said.exit == 5
    assert "provide a value for never" in said.out
    choices = {line.split("  ")[-1]: line.split()[0] for line in said.out.splitlines() if line.startswith("    ")}
    answered = cli("resume", "stuck2", f"{choices['provide a value for never']} anyway", "--policy", "human")
    assert answered.exit == 0
    assert answered.out.rstrip().endswith("anyway")


def test_values_are_read_by_the_types_of_their_keys(cli: Cli) -> None:
    said = cli("run", "place", 'point={"x": 3}', "size=large", "count=7", 'tags=["a", "b"]', "note=null", "--json")
    assert said.json["value"] == "3 0.5 large 7 ['a', 'b'] null"


def test_a_budget_and_a_deadline_hold(cli: Cli) -> None:
    said = cli("run", "place", 'point={"x": 3}', "size=large", "count=7", "tags=[]", "--budget", "0.1")
    assert said.exit == 4
    assert "$0.5" in said.out


def test_a_fault_breaks_a_tool(cli: Cli) -> None:
    said = cli("run", "title", "document=quick.txt", "--fault", "quick=outage", "--json")
    assert [each["tool"] for each in said.json["tried"]] == ["quick", "thorough", "headline"]
    assert said.json["tried"][0]["ok"] is False


def test_a_run_id_that_was_used_means_that_run(cli: Cli) -> None:
    first = cli("run", "title", "document=quick.txt", "--run-id", "same", "--json").json
    again = cli("run", "title", "document=quick.txt", "--run-id", "same", "--json")
    assert again.json["run_id"] == first["run_id"]
    assert len(cli("runs", "--json").json["runs"]) == 1
    other = cli("run", "title", "document=slow.txt", "--run-id", "same")
    assert other.exit == 2
    assert "other inputs" in other.err


MISTAKES = [
    (("run", "title", "document=missing.txt"), "document=missing.txt: there is no such file"),
    (("run", "title", "document=quikc.txt"), "Did you mean 'quick.txt'"),
    (("run", "titel", "document=quick.txt"), "Did you mean 'title'"),
    (("run", "title", "documnet=quick.txt"), "Did you mean 'document'"),
    (("run", "title", "quick.txt"), "KEY=VALUE"),
    (("run", "title", "document=quick.txt", "document=slow.txt"), "given twice"),
    (("run", "place", "count=seven"), "count=seven: no int"),
    (("run", "place", 'point={"x": "left"}'), "x: Input should be a valid integer"),
    (("run", "place", "size=huge"), "'small' or 'large'"),
    (("run", "title", "document=quick.txt", "--policy", "human2"), "no policy 'human2'"),
    (("run", "title", "document=quick.txt", "--policy", "broken"), "broken.toml:3: time_valeu: unknown field"),
    (("run", "title", "document=quick.txt", "--policy", "typed"), "typed.toml:1: step_cost: "),
    (("run", "title", "document=quick.txt", "--policy", "syntax"), "syntax.toml: "),
    (("run", "title", "document=quick.txt", "--policy", "nowhere.toml"), "nowhere.toml: cannot be read"),
    (("run", "title", "document=quick.txt", "--fault", "quick"), "tool=fault"),
    (("run", "title", "document=quick.txt", "--fault", "quik=outage"), "no tool 'quik'"),
    (("run", "title", "document=quick.txt", "--demote", "txt"), "Did you mean 'text'"),
    (("run", "title", "document=quick.txt", "--budget", "-1"), "not below zero"),
    (("run", "title", "document=quick.txt", "--deadline", "nan"), "deadline"),
    (("run", "title", "--project", "nowhere"), "There is no folder 'nowhere'"),
    (("run", "title", "--each", "document"), "needs at least one value"),
    (("run", "title", "--each", "document", "missing.txt", "quick.txt"), "there is no such file"),
    (("run", "title", "--each", "document", "*.pdf"), "No file matches"),
    (("run", "title", "--each", "document", "quick.txt", "--run-id", "x"), "--run-id"),
    (("run", "title", "document=quick.txt", "--run-id", " "), "--run-id is empty"),
    (("run", "title+", "document=quick.txt"), "joined by +"),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES)
def test_a_mistake_is_one_clear_error_and_leaves_nothing_behind(cli: Cli, words: tuple[str, ...], told: str) -> None:
    said = cli(*words)
    assert said.exit == 2
    assert told in said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.out + said.err
    assert said.out == ""
    assert sorted(path.name for path in Path().iterdir()) == ["blank.txt", "quick.txt", "slow.txt"]


BAD_PROJECTS = [
    ({"a.py": "def f(:\n"}, "a.py:1: "),
    ({"a.py": "\n1 / 0\n"}, "a.py:2: ZeroDivisionError"),
    ({"a.py": "from orchestrator import Tool\nx = Tool(min)\n"}, "cannot be read. State its keys with needs="),
    (
        {
            "a.py": "from orchestrator import tool\n@tool\ndef f(k: int): ...\n",
            "b.py": "from orchestrator import tool\n@tool(gives='k')\ndef g(x: str) -> str: ...\n",
        },
        "key 'k'",
    ),
    (
        {
            "a.py": "from orchestrator import tool\n@tool\ndef f(k: int): ...\n",
            "b.py": "from orchestrator import tool\n@tool\ndef f(k: int): ...\n",
        },
        "two tools of the name 'f'",
    ),
]


@pytest.mark.parametrize(("files", "told"), BAD_PROJECTS)
def test_a_project_that_is_wrong_is_one_clear_error(cli: Cli, tmp_path: Path, files: dict[str, str], told: str) -> None:
    tools = tmp_path / "bad" / "tools"
    tools.mkdir(parents=True)
    for name, text in files.items():
        (tools / name).write_text(text)
    said = cli("run", "f", "k=1", "--project", str(tmp_path / "bad"))
    assert said.exit == 2
    assert told in said.err
    assert all(str(tools / name) in said.err for name in files)
    assert said.err.count("\n") == 1
    assert not Path(".orchestrator").exists()


def test_a_path_that_is_written_to_need_not_exist(cli: Cli) -> None:
    assert cli("run", "saved", "document=quick.txt", "out=somewhere/new", "--json").json["value"] == "somewhere/new"


def test_wrong_usage_exits_with_2(cli: Cli) -> None:
    assert cli("run").exit == 2
    assert cli("run", "title", "--nonsense").exit == 2
    assert cli("nonsense").exit == 2


def test_an_unexpected_error_is_one_line_and_its_traceback_is_kept(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("\x1b[2Jsurprise")

    monkeypatch.setattr("orchestrator.cli.run.read_inputs", broken)
    said = cli("run", "title", "document=quick.txt")
    assert said.exit == 1
    assert said.err == (
        "error: unexpected: RuntimeError: surprise (traceback in .orchestrator/errors.log; --debug shows it)\n"
    )
    log = Path(".orchestrator/errors.log")
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    shown = cli("run", "title", "document=quick.txt", "--debug")
    assert shown.exit == 1
    assert "Traceback" in shown.err


def test_a_store_that_cannot_be_opened_is_told(cli: Cli) -> None:
    for where in ("quick.txt", "mysql://host/runs", "nowhere://x"):
        for words in (("run", "title", "document=quick.txt"), ("runs",)):
            said = cli(*words, "--store", where)
            assert said.exit == 2
            assert said.err.startswith("error: ")
            assert "Traceback" not in said.err
            assert said.err.count("\n") == 1


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("run", "--help"), ("skills", "--help")])
def test_help_and_version_exit_with_0(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli(*words).exit == 0


def test_a_missing_input_is_told_with_a_line_to_paste(cli: Cli) -> None:
    said = cli("run", "title")
    assert said.exit == 2
    assert "title needs 'document', which no tool gives and which was not provided. Give it:" in said.err
    assert "orchestrator run title document=DOCUMENT" in said.err
    assert cli("runs").exit == 2, "nothing was begun, so there is no store"


def test_a_folder_that_looks_like_a_project_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_PROJECT")
    folder = Path("tools")
    folder.mkdir()
    (folder / "own.py").write_text("raise AssertionError('it was loaded unasked')")
    said = cli("tools")
    assert said.exit == 0
    assert "--project . works with it" in said.err
    assert "never called" in said.out
