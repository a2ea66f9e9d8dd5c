"""Every Python example in README and docs runs as it stands, in an empty folder."""

import re
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, int, str]]:
    """(document, line, code) of every example."""
    found: list[tuple[str, int, str]] = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text[: match.start()].count("\n") + 2
            found.append((str(document.relative_to(ROOT)), line, match.group(1)))
    return found


def test_there_are_examples() -> None:
    assert {document for document, _, _ in examples()} >= {"README.md", "docs/tutorial.md"}


@pytest.mark.parametrize(("document", "line", "code"), examples(), ids=lambda part: str(part)[:60])
def test_example(document: str, line: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"example_{re.sub(r'[^a-z0-9]', '_', document.lower())}_{line}"
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile("\n" * (line - 1) + code, str(ROOT / document), "exec"), module.__dict__)
