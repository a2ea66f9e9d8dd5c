"""One goal over many values: what is shown, in which order, and with which exit status."""

from pathlib import Path

from orchestrator.cli.batch import largest_first
from orchestrator.cli.screen import Exit, worst
from tests.cli.conftest import Cli


def test_each_file_gets_a_line_with_its_route_and_healings(cli: Cli) -> None:
    said = cli("run", "title", "--each", "document", "quick.txt", "slow.txt", "blank.txt", "--jobs", "1")
    lines = said.out.splitlines()
    assert said.exit == 4
    assert lines[0] == "✓ quick.txt  quick → headline"
    assert lines[1] == "✓ slow.txt   quick ✗ [bold]not[/bold] quick → thorough ✓ → headline ✓"
    assert lines[2].startswith("✗ blank.txt  ")
    assert lines[3].strip().startswith("escalated: ")
    assert lines[-1].startswith("  ledger: 3 runs sealed, head ")
    assert lines[-2].strip().startswith("2 reached · 1 escalated · 1 healed on the way · ")
    assert len(cli("runs", "--json").json["runs"]) == 3


def test_folders_and_patterns_are_expanded(cli: Cli) -> None:
    (Path("docs") / "deep").mkdir(parents=True)
    for name in ("b.txt", "a.txt", ".hidden"):
        (Path("docs") / name).write_text("quick")
    said = cli("run", "title", "--each", "document", "docs", "*k.txt", "docs/a.txt", "--json")
    assert [Path(one["each"]).name for one in said.objects] == ["a.txt", "b.txt", "blank.txt", "quick.txt"]


def test_json_lines_come_in_the_order_of_the_inputs(cli: Cli) -> None:
    said = cli("run", "title", "--each", "document", "slow.txt", "quick.txt", "--json", "--jobs", "2")
    assert said.exit == 0
    assert [(one["each"], one["value"]) for one in said.objects] == [("slow.txt", "slow"), ("quick.txt", "quick")]


def test_the_largest_files_begin_first(tmp_path: Path) -> None:
    for name, size in (("small", 1), ("large", 9), ("same", 1)):
        (tmp_path / name).write_bytes(b"x" * size)
    files = [tmp_path / name for name in ("small", "gone", "large", "same")]
    assert largest_first(files) == [2, 0, 3, 1]
    assert largest_first(["b", "aaa", 3]) == [0, 1, 2]


def test_values_of_other_types_can_be_gone_over(cli: Cli) -> None:
    said = cli("run", "place", 'point={"x": 1}', "size=small", "tags=[]", "--each", "count", "1", "2", "3", "--json")
    assert [one["value"] for one in said.objects] == [f"1 0.5 small {n} [] None" for n in (1, 2, 3)]


def test_one_value_of_the_wrong_type_stops_all_before_anything_is_run(cli: Cli) -> None:
    said = cli("run", "place", 'point={"x": 1}', "size=small", "tags=[]", "--each", "count", "1", "two")
    assert said.exit == 2
    assert "count=two: no int" in said.err
    assert not Path(".orchestrator").exists()


def test_a_file_may_have_an_equals_sign_in_its_name(cli: Cli) -> None:
    Path("size=small").write_text("quick one")
    said = cli("run", "title", "--each", "document", "size=small", "--json")
    assert said.objects[0]["each"] == "size=small"


def test_files_of_one_name_are_told_apart(cli: Cli) -> None:
    for folder in ("one", "two"):
        Path(folder).mkdir()
        (Path(folder) / "same.txt").write_text("quick")
    said = cli("run", "title", "--each", "document", "one/same.txt", "two/same.txt")
    assert "one/same.txt" in said.out
    assert "two/same.txt" in said.out


def test_waiting_runs_show_what_they_ask(cli: Cli) -> None:
    said = cli("run", "named", "--each", "document", "quick.txt", "slow.txt")
    assert said.exit == 5
    assert said.out.count("waits: What is your name?") == 2


def test_a_fault_holds_for_all(cli: Cli) -> None:
    said = cli("run", "title", "--each", "document", "quick.txt", "slow.txt", "--fault", "quick=refuse", "--json")
    assert all(one["tried"][0] == one["tried"][0] | {"tool": "quick", "ok": False} for one in said.objects)


def test_a_run_that_breaks_does_not_stop_the_others(cli: Cli, tmp_path: Path) -> None:
    tools = tmp_path / "odd" / "tools"
    tools.mkdir(parents=True)
    (tools / "odd.py").write_text(
        "from orchestrator import tool\n\ndef bad(n):\n    return 1 / n\n\n"
        "@tool(gives='out', approval=bad)\ndef work(n: int) -> int:\n    return n\n"
    )
    said = cli("run", "out", "--each", "n", "0", "1", "--project", str(tmp_path / "odd"))
    assert "Traceback" not in said.err + said.out
    assert len(said.out.splitlines()) >= 3
    assert said.exit in (Exit.UNEXPECTED, Exit.ESCALATED, Exit.WAITING)


def test_the_worst_exit_status_wins() -> None:
    order = [
        Exit.INTERRUPTED,
        Exit.UNEXPECTED,
        Exit.BAD_INPUT,
        Exit.ESCALATED,
        Exit.WAITING,
        Exit.DEMOTED,
        Exit.REACHED,
    ]
    for index, one in enumerate(order):
        for other in order[index:]:
            assert worst([other, one]) is worst([one, other]) is one
    assert worst([]) is Exit.REACHED
