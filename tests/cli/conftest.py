"""The command line called in this process, in an empty folder, over a project of its own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.app import invoke

TOOLS = '''
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from orchestrator import Refused, RunContext, Unavailable, tool


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Point(BaseModel):
    x: int
    y: float = 0.5


@tool(gives="text", cost=0.001)
def quick(document: Path) -> str:
    """Reads files that say they are quick."""
    text = document.read_text()
    if "quick" not in text:
        raise Unavailable("[bold]not[/bold] quick\\x07")
    return text


def has_words(text: str) -> bool:
    return bool(text.strip())


@tool(gives="text", cost=0.002, ensure=has_words)
def thorough(document: Path) -> str:
    return document.read_text()


@tool(gives="title")
def headline(text: str) -> str:
    return text.split()[0]


@tool(gives="letter", effect="write", approval=True, compensate=lambda output: None)
def post(title: str) -> str:
    return f"posted {title}"


@tool(gives="place", cost=0.5)
def place(point: Point, size: Size, count: int, tags: list[str], note: str | None = None) -> str:
    return f"{point.x} {point.y} {size} {count} {tags} {note}"


@tool(gives="never")
def never(title: str) -> str:
    raise Refused("we never do that")


@tool(gives="named")
async def ask(title: str, ctx: RunContext) -> Any:
    return await ctx.wait("What is your name?")


@tool(gives="from_where")
async def ask_where(title: str, ctx: RunContext) -> Any:
    return await ctx.wait("Where are you from?")


@tool(gives="saved", effect="write", compensate=lambda output: None)
def save(title: str, out: Path) -> Path:
    return out
'''

POLICIES = {
    "human.toml": 'escalation = ["demote", "ask_human"]\n',
    "broken.toml": "step_cost = 0.1\n\ntime_valeu = 2\n",
    "typed.toml": 'step_cost = "much"\n',
    "syntax.toml": "step_cost = = 1\n",
}


@dataclass(frozen=True)
class Said:
    """What a command said."""

    exit: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def objects(self) -> list[Any]:
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Said]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder."""
    root = tmp_path / "project"
    (root / "tools").mkdir(parents=True)
    (root / "policies").mkdir()
    (root / "tools" / "all.py").write_text(TOOLS)
    for name, text in POLICIES.items():
        (root / "policies" / name).write_text(text)
    return root


@pytest.fixture
def cli(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Calls the program in an empty folder with the project as its default."""
    where = tmp_path / "here"
    where.mkdir()
    monkeypatch.chdir(where)
    monkeypatch.setenv("ORCHESTRATOR_PROJECT", str(project))
    for name in ("ORCHESTRATOR_STORE", "ORCHESTRATOR_POLICY", "ORCHESTRATOR_MODEL"):
        monkeypatch.delenv(name, raising=False)
    (where / "quick.txt").write_text("quick brown fox")
    (where / "slow.txt").write_text("slow worm")
    (where / "blank.txt").write_text("  ")

    def call(*words: str) -> Said:
        capsys.readouterr()
        status = invoke(words)
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return call
