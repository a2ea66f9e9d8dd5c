"""Every command line that a document shows exists: the command, its options and the number of its arguments."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.commands import COMMANDS, load

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
EVERYWHERE = {"--help": False, "-h": False, "--debug": False, "--no-color": False, "--app": True}
PROGRAM = {"--version", "--install-completion", "--show-completion"}
LINE = re.compile(r"^(?:\$ )?(orchestrator [a-z].*)$")


def shown(text: str) -> list[str]:
    """The command lines in `text`: of its blocks of code, and of code within a line."""
    found: list[str] = []
    for block in re.findall(r"^```(?:console|sh|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        found += [match.group(1) for line in block.splitlines() if (match := LINE.match(line.strip()))]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    inline = (re.sub(r"\s+", " ", code) for code in re.findall(r"`([^`]+)`", prose))
    return found + [code for code in inline if LINE.match(code) and "|" not in code]


def mistake(line: str) -> str | None:
    """What is wrong with a command line, if anything."""
    words = shlex.split(re.sub(r"(?<= )[|>#].*$", "", line))[1:]
    name = words.pop(0)
    if name.startswith("-"):
        return None if name in PROGRAM else f"no option {name}"
    if name not in COMMANDS:
        return f"no command {name}"
    command = load(name)
    if inner := getattr(command, "commands", None):
        if words and words[0] not in inner:
            return f"no command {name} {words[0]}"
        command = inner[words.pop(0)] if words else command
    return unknown(command, words)


def options(command: Any) -> dict[str, bool]:
    """Option -> whether a value follows."""
    found = dict(EVERYWHERE)
    for parameter in command.params:
        if parameter.param_type_name == "option":
            found |= dict.fromkeys((*parameter.opts, *parameter.secondary_opts), not parameter.is_flag)
    return found


def unknown(command: Any, words: list[str]) -> str | None:
    """The first option that the command does not have, or that it has too many arguments."""
    known, positional, words = options(command), 0, [*words]
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            positional += 1
        elif (name := word.partition("=")[0]) not in known:
            return f"no option {name}"
        elif known[name] and "=" not in word and words:
            words.pop(0)
    sizes = [parameter.nargs for parameter in command.params if parameter.param_type_name == "argument"]
    if -1 not in sizes and positional > sum(sizes):
        return f"takes at most {sum(sizes)} arguments"
    return None


LINES = [(str(path.relative_to(ROOT)), line) for path in DOCUMENTS for line in shown(path.read_text(encoding="utf-8"))]


def test_there_are_command_lines() -> None:
    assert len(LINES) > 50


@pytest.mark.parametrize(("document", "line"), LINES)
def test_command_line(document: str, line: str) -> None:
    assert mistake(line) is None


@pytest.mark.parametrize("line", ["orchestrator helth", "orchestrator health restore x", "orchestrator why --nope"])
def test_a_wrong_command_line_is_found(line: str) -> None:
    assert mistake(line) is not None
