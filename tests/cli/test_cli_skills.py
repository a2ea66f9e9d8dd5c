"""`orchestrator skills`: the handbook in the store."""

from pathlib import Path

from orchestrator.selection import Handbook, Skill
from tests.cli.conftest import Cli


def _file(name: str) -> Path:
    book = Handbook.of([Skill(id="summarise", description="Make it short.")])
    book = book.with_skills(Skill(id="translate", parent="summarise"), note="one more")
    book.save(name)
    return Path(name)


def test_an_empty_handbook(cli: Cli) -> None:
    assert cli("skills", "list").out == "The handbook has no skills yet.\n"
    assert cli("skills", "show", "summarise").exit == 2
    assert not Path(".orchestrator").exists()


def test_import_list_show_history_and_rollback(cli: Cli) -> None:
    _file("book.json")
    assert cli("skills", "import", "book.json").out == "version 2, 2 skills\n"
    assert "translate" in cli("skills", "list").out
    assert "Make it short." in cli("skills", "show", "summarise").out
    assert "one more" in cli("skills", "history").out
    assert cli("skills", "rollback", "1").out == "version 3 holds what version 1 held\n"
    assert [skill["id"] for skill in cli("skills", "list", "--json").json["skills"]] == ["summarise"]
    assert cli("skills", "rollback", "99").exit == 2


def test_export_never_overwrites(cli: Cli) -> None:
    _file("book.json")
    cli("skills", "import", "book.json")
    assert cli("skills", "export", "again.json").exit == 0
    assert Handbook.load("again.json") == Handbook.load("book.json")
    assert cli("skills", "export", "again.json").exit == 2


def test_a_file_that_is_no_handbook(cli: Cli) -> None:
    Path("no.json").write_text("{}x")
    said = cli("skills", "import", "no.json")
    assert said.exit == 2
    assert "no.json: This is no handbook" in said.err
    assert cli("skills", "import", "missing.json").exit == 2
    assert not Path(".orchestrator").exists()


def test_what_one_process_learned_of_agents_the_next_one_knows(cli: Cli, project: Path) -> None:
    (project / "agents").mkdir()
    (project / "agents" / "a.py").write_text(
        "from orchestrator import Agent\n\ndef sum_up(text: str) -> str:\n    return text\n\n"
        "lead = Agent(sum_up, gives='brief', name='lead', skills={'summarise': 0.5})\n\n"
        "def setup(orc):\n    orc.require_skills('brief', {'summarise': 1.0})\n"
    )
    before = cli("agents", "--json").json["agents"][0]["facts"]["competence"]
    for _ in range(3):
        assert cli("run", "brief", "document=quick.txt").exit == 0
    after = cli("agents", "--json").json["agents"][0]["facts"]["competence"]
    assert after > before
    assert "lead" in cli("skills", "list").out
    assert "summarise" in cli("skills", "show", "lead").out
