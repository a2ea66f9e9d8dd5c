"""Shell completion, asked as bash asks for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli import main
from tests.cli.conftest import Cli

ROOT = Path(__file__).parents[2]


def asked(words: str) -> dict[str, str]:
    """What bash sets to ask for completions."""
    return {
        "_ORCHESTRATOR_COMPLETE": "complete_bash",
        "COMP_WORDS": f"orchestrator {words}",
        "COMP_CWORD": str(len(words.split())),
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("run ti", {"title"}),
        ("run title doc", {"document="}),
        ("why on", {"one"}),
        ("why la", {"last"}),
        ("replay on", {"one"}),
        ("health --trip qu", {"quick"}),
        ("plan title --policy hu", {"human"}),
        ("why nothing-like-it", set()),
    ],
)
def test_goals_runs_tools_and_policies(
    cli: Cli, words: str, expected: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli("run", "title", "document=quick.txt", "--run-id", "one")
    for name, value in asked(words).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["orchestrator"])
    with pytest.raises(SystemExit):
        main()
    assert set(capsys.readouterr().out.split()) == expected


def test_a_process_answers_the_shell(cli: Cli) -> None:
    cli("run", "title", "document=quick.txt", "--run-id", "one")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **asked("why on")}
    program = "from orchestrator.cli import main; main()"
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert (said.stdout.split(), said.stderr) == (["one"], "")
