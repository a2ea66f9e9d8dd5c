"""`orchestrator skills`: the handbook in the store."""

import asyncio
import re
from pathlib import Path

import pytest

from orchestrator import Policy
from orchestrator.selection import Evidence, Handbook, Profile, Skill
from tests.cli.conftest import Cli
from tests.engine.planning.test_recorded_skills import KEPT, runs


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


def test_skills_are_set_changed_removed_and_compared(cli: Cli) -> None:
    set_it = ("skills", "set", "translate", "--description", "Say it in another language.", "--indicator", "in German")
    assert cli(*set_it).out == "translate: version 2\n"
    assert cli("skills", "set", "translate", "--example", "How do you say rain?").out == "translate: version 3\n"
    skill = cli("skills", "show", "translate", "--json").json
    assert (skill["description"], skill["indicators"]) == ("Say it in another language.", ["in German"])
    assert skill["examples"] == ["How do you say rain?"]
    assert "examples" in cli("skills", "diff", "2").out
    assert [c["path"][:2] for c in cli("skills", "diff", "1", "--json").json["changes"]] == [["skills", "translate"]]
    assert cli("skills", "set", "part", "--parent", "nothing").exit == 2
    assert cli("skills", "remove", "translate").out == "translate removed: version 4\n"
    assert cli("skills", "remove", "translate").exit == 2
    assert cli("skills", "diff", "4").exit == 2  # not a version before


def test_handbooks_are_merged_and_compared_with_files(cli: Cli) -> None:
    assert cli("skills", "remove", "x").exit == 2
    _file("book.json")
    assert cli("skills", "merge", "book.json").out == "version 2, 2 skills, 0 agents\n"
    assert cli("skills", "diff", "book.json").out == "Nothing differs.\n"
    assert cli("skills", "set", "summarise", "--description", "Shorter.").exit == 0
    assert "Make it short." in cli("skills", "diff", "book.json").out
    assert cli("skills", "merge", "book.json").exit == 2  # they describe a skill differently


def test_skills_that_nobody_tells_apart_are_merged(cli: Cli) -> None:
    book = Handbook.of([Skill(id="x"), Skill(id="y")])
    alike = {s: Evidence(successes=400, failures=100) for s in ("x", "y")}
    book = book.next("profiles", {"profiles": {agent: Profile(skills=alike) for agent in ("a", "b")}})
    book.save("book.json")
    cli("skills", "import", "book.json")
    assert cli("skills", "tidy").out == "version 3: 1 skill merged: y\n"
    assert cli("skills", "tidy").out == "version 3: 0 skills merged\n"


def _agents(project: Path) -> None:
    (project / "agents").mkdir()
    (project / "agents" / "a.py").write_text(
        "from orchestrator import Agent\n\n"
        "def short(text: str) -> str:\n    return text[:3]\n\n"
        "def whole(text: str) -> str:\n    return text\n\n"
        "lead = Agent(short, gives='brief', name='lead', skills={'summarise': 0.3})\n"
        "dear = Agent(whole, gives='brief', name='dear', skills={'summarise': 1.0}, cost=0.004, data_leaves=True)\n\n"
        "def setup(orc):\n    orc.require_skills('brief', {'summarise': 1.0})\n"
    )


def test_the_dial_and_the_limits_of_a_run(cli: Cli, project: Path) -> None:
    _agents(project)

    def brief(*options: str) -> str:
        ran = cli("run", "brief", "document=quick.txt", "--json", *options)
        assert ran.exit == 0, ran.err
        planned = cli("plan", "brief", "document=quick.txt", "--json", *options).json["tools"][-1]
        chosen = cli("why", "last", "--json").json
        assert planned in str(chosen)
        return str(planned)

    assert brief() == "dear"
    assert brief("--dial", "0") == "lead"
    assert brief("--dial", "1", "--data-stays") == "lead"
    assert brief("--max-cost", "0.001") == "lead"
    assert brief("--trust", "local") == "dear"
    assert cli("run", "brief", "document=quick.txt", "--trust", "the moon").exit == 4
    assert cli("run", "brief", "document=quick.txt", "--dial", "7").exit == 2
    assert cli("run", "brief", "document=quick.txt", "--max-cost", "-1").exit == 2
    many = cli("run", "brief", "--each", "document", "quick.txt", "--dial", "0", "--json")
    assert many.exit == 0
    assert "lead" in cli("why", "last").out
    assert "policy     balanced; dial at 0\n" in cli("why", "last").out
    cli("run", "brief", "document=quick.txt", "--data-stays", "--max-cost", "0.5", "--trust", "local")
    assert "balanced; trust only local; data stays; at most $0.5 a call" in cli("why", "last").out


def test_why_shows_who_was_chosen_among_whom_with_what_uncertainty(cli: Cli, project: Path) -> None:
    _agents(project)
    cli("run", "brief", "document=quick.txt")
    told = " ".join(cli("why", "last", "--full").out.split())
    assert "dear selected for brief" in told
    assert re.search(r"dear \$0\.\d+ \(competence 0.80 \[0.5\d, 1.00\] by 0 calls", told), told
    assert "competence 0.31 [" in told


def test_feedback_is_learned_from(cli: Cli, project: Path) -> None:
    _agents(project)
    cli("run", "brief", "document=quick.txt")
    before = cli("skills", "show", "dear", "--json").json["general"]
    assert "brief of" in cli("feedback", "last", "brief", "bad").out
    after = cli("skills", "show", "dear", "--json").json["general"]
    assert after["failures"] - before["failures"] == 1
    assert cli("feedback", "last", "nothing", "good").exit == 2
    assert "dear   brief  a person   bad" in cli("judgements", "last").out
    (told,) = cli("judgements", "last", "--json").json["judgements"]
    assert (told["tool"], told["by"], told["good"], told["weight"]) == ("dear", "a person", False, 1.0)
    cli("run", "brief", "document=quick.txt")
    assert cli("judgements", "last").out == "Nobody has judged the work of this run.\n"
    assert cli("feedback", "last", "brief", "so-so").exit == 2


def test_agents_of_another_program_are_listed_and_judged_by_its_records(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCHESTRATOR_PROJECT")
    Path(".orchestrator").mkdir()
    asyncio.run(runs(".orchestrator/runs.db", KEPT))
    (tmp_path / "shop.py").write_text(
        "from orchestrator import Agent, Orchestrator\n"
        "def work(task: str) -> str: return task\n"
        "own = Agent(work, name='own', gives='done', skills={'do': 1.0})\n"
        "orc = Orchestrator(agents=[own], store='shop.db')\n"
    )
    listed = cli("agents", "--json").json["agents"]
    assert {agent["name"] for agent in listed} == {"clerk"}  # of the newest runs
    assert all(agent["health"]["calls"] for agent in listed)
    cli("run", "done", "task=x", "--app", f"{tmp_path / 'shop.py'}:orc")
    said = cli("feedback", "last", "done", "good", "--store", "shop.db")
    assert said.exit == 0, said.err
    assert cli("skills", "show", "own", "--store", "shop.db", "--json").json["general"]["successes"] > 1
    assert "own" in cli("agents", "--store", "shop.db").out
    refused = cli("feedback", "last", "task", "good", "--store", "shop.db")
    assert refused.exit == 2
    assert "'task' of the run" in refused.err and "was given to the run" in refused.err and "done" in refused.err


def test_a_project_brings_its_judge(cli: Cli, project: Path) -> None:
    _agents(project)
    file = project / "agents" / "a.py"
    judge = "\n    def long_enough(inputs, output):\n        return len(output) > 3\n\n    orc.judge = long_enough\n"
    file.write_text(file.read_text() + judge)
    cli("run", "brief", "document=quick.txt")
    (told,) = cli("judgements", "last", "--json").json["judgements"]
    assert (told["tool"], told["by"], told["good"]) == ("dear", "long_enough", True)
    assert cli("skills", "show", "dear", "--json").json["general"]["successes"] > 0.7


def test_skills_are_learned_from_recorded_runs(cli: Cli) -> None:
    assert "nothing has been run here" in cli("skills", "learn").err
    Path(".orchestrator").mkdir()
    asyncio.run(runs(".orchestrator/runs.db", KEPT))
    before = cli("skills", "list", "--json").json["version"]
    tried = cli("skills", "learn", "--dry-run")
    assert tried.exit == 0
    assert "Read 96 runs, 96 steps of agents: 96 with a text, 96 judged." in tried.out
    assert "split work: work split by " in tried.out
    assert "skills / work/1: nothing -> " in tried.out
    assert cli("skills", "list", "--json").json["version"] == before
    as_data = cli("skills", "learn", "--dry-run", "--json").json
    assert as_data["read"] == {"runs": 96, "steps": 96, "texts": 96, "judged": 96}
    assert not as_data["stored"]
    done = cli("skills", "learn")
    assert f"`orchestrator skills rollback {before}` goes back." in done.out
    learned = cli("skills", "list", "--json").json
    assert [skill["id"] for skill in learned["skills"]] == ["work", "work/1", "work/2"]
    assert [skill["provenance"] for skill in learned["skills"]][1:] == ["split", "split"]
    assert "split work" in Path(".orchestrator/runs.db").read_bytes().decode(errors="ignore")
    assert "Nothing is to be changed." in cli("skills", "learn").out
    assert cli("skills", "rollback", str(before)).exit == 0
    assert [skill["id"] for skill in cli("skills", "list", "--json").json["skills"]] == ["work"]


def test_learning_says_so_when_no_texts_were_kept(cli: Cli, project: Path) -> None:
    _agents(project)
    cli("run", "brief", "document=quick.txt")
    said = cli("skills", "learn")
    assert said.exit == 0
    assert "keep_values = true" in said.out
    assert "Nothing is to be changed." in said.out
    assert not Policy().keep_values
    assert cli("skills", "learn", "--model", " ").exit == 2
    assert cli("skills", "learn", "--runs", "0").exit == 2
