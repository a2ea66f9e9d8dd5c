"""Names, errors and values are hostile input: nothing of them reaches a terminal as a command or as markup."""

import json
import unicodedata
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

EVIL = "[red]x[/] \x1b[2J\x1b]0;title\x07\u202eevil\u2066 \\"
NAME = "[red]x[/] \\"
"""What a name may hold; `EVIL` is refused as one."""
PROJECT = f"""
from orchestrator import Refused, tool

EVIL, NAME = {EVIL!r}, {NAME!r}


@tool(name="reader" + NAME, gives="text" + NAME, description=EVIL)
def read(document: str) -> str:
    raise Refused("no: " + EVIL)


@tool(name="other" + NAME, gives="text" + NAME, cost=0.1)
def read_too(document: str) -> str:
    return "value: " + EVIL


@tool(name="asker", gives="asked", effect="write", approval=True)
def ask(document: str) -> str:
    return EVIL
"""


@pytest.fixture
def evil(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line over a project full of hostile text."""
    (tmp_path / "evil" / "tools").mkdir(parents=True)
    (tmp_path / "evil" / "tools" / "evil.py").write_text(PROJECT)
    monkeypatch.setenv("ORCHESTRATOR_PROJECT", str(tmp_path / "evil"))
    return cli


COMMANDS = [
    ("run", f"text{NAME}", f"document={EVIL}"),
    ("run", f"text{NAME}", "--each", "document", EVIL, "b"),
    ("run", "asked", f"document={EVIL}"),
    ("run", f"txet{EVIL}", f"document={EVIL}"),
    ("run", f"text{NAME}", f"doc{EVIL}=1"),
    ("run", f"text{NAME}", "document=a", "--run-id", f"i{EVIL}"),
    ("plan", f"text{NAME}", "document=a", "--explain"),
    ("plan", f"text{NAME}"),
    ("plan", f"text{EVIL}"),
    ("tools",),
    ("health",),
    ("health", f"no{EVIL}"),
    ("runs",),
    ("runs", "--search", EVIL),
    ("why", "last"),
    ("why", "last", "--full"),
    ("why", f"no{EVIL}"),
    ("verify", "--all"),
    ("resume", "last", EVIL),
    ("run", "asked", "document=a", "--policy", EVIL),
    ("run", "asked", "document=a", "--project", f"no{EVIL}".replace("\\", "")),
    ("run", "asked", "document=a", "--fault", f"{EVIL}=outage"),
    ("skills", "show", EVIL),
]


def test_nothing_hostile_is_written(evil: Cli) -> None:
    for words in COMMANDS:
        said = evil(*words)
        text = said.out + said.err
        assert "Traceback" not in text, words
        bad = [char for char in text if unicodedata.category(char) in ("Cc", "Cf") and char != "\n"]
        assert bad == [], (words, bad)
        if "[red]x" in text:
            assert "[red]x[/]" in text, words  # shown as it is, not taken for markup


def test_json_holds_everything_as_it_is(evil: Cli) -> None:
    said = evil("run", f"text{NAME}", "document=a", "--json")
    assert said.exit == 0
    assert json.loads(said.out)["value"] == f"value: {EVIL}"
    assert "\x1b" not in said.out


def test_a_hostile_name_of_a_tool_is_refused_without_being_written(evil: Cli, tmp_path: Path) -> None:
    (tmp_path / "evil" / "tools" / "named.py").write_text(PROJECT.replace('name="asker"', 'name="asker" + EVIL'))
    said = evil("tools")
    assert said.exit == 2
    assert "cannot be the name of a tool: it holds a control character (U+001B)" in said.err
    assert not [char for char in said.out + said.err if unicodedata.category(char) in ("Cc", "Cf") and char != "\n"]
