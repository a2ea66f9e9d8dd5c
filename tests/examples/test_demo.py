"""The demo: real documents through the real catalogue, as `make demo` runs it."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from examples import demo
from orchestrator import Goal, Outcome
from orchestrator.cli.batch import Batch, Ended
from orchestrator.cli.screen import Exit
from orchestrator.cli.values import Given
from orchestrator.core.enums import Status

DEMO = Path(demo.__file__)
SAMPLES = demo.SAMPLES


def run(here: Path, *files: str) -> "subprocess.CompletedProcess[str]":
    """The demo as a process, in a folder of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR")}
    return subprocess.run(
        [sys.executable, str(DEMO), *files],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**environment, "PYTHONPATH": str(DEMO.parent.parent)},
    )


def test_the_samples_become_briefs(tmp_path: Path) -> None:
    said = run(tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stderr == ""
    lines = said.stdout.splitlines()
    for sample in SAMPLES.iterdir():
        assert any(line[2:].startswith(sample.name) for line in lines), sample.name
    assert "mariners-scanned.pdf   detect_kind ✓ → pdfium ✗ its pages are pictures → pypdf ✗" in said.stdout
    assert "Where mariners-scanned.pdf healed" in said.stdout
    assert "├─✗ pdfium" in said.stdout
    assert "│ ✓ ocr" in said.stdout
    assert "  NOTICE TO MARINERS No. 7\n" in said.stdout
    assert "mariners-scanned.pdf, pdf, 67 words" in said.stdout
    assert "minutes-encrypted.pdf    nobody has its password" in said.stdout
    assert max(map(len, lines)) < 400
    assert "escalated: " in said.stdout
    briefs = sorted(path.name for path in (tmp_path / "out").iterdir())
    for name in (
        "bee-walk.docx",
        "library.html",
        "mariners-scanned.pdf",
        "night-sky.txt",
        "orchard-cyclic.pdf",
        "sourdough.md",
        "tide-gauge.pdf",
    ):
        assert f"{name}.md" in briefs
        assert f"out/{name}.md" in said.stdout
    assert (tmp_path / ".orchestrator" / "demo.db").exists()


def test_files_of_ones_own(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "library.html", tmp_path / "mine.html")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 not really")
    said = run(tmp_path, "mine.html", "broken.pdf")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "out/mine.html.md" in said.stdout
    assert "broken.pdf" in said.stdout
    assert "broken.pdf               it is damaged" in said.stdout


def test_names_with_spaces_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a b.pdf", "c.html", "d e f.txt"):
        (tmp_path / name).touch()
    assert demo.names_in("a b.pdf") == ["a b.pdf"]
    assert demo.names_in("a b.pdf c.html d e f.txt") == ["a b.pdf", "c.html", "d e f.txt"]
    assert demo.names_in("'a b.pdf' no.txt") == ["a b.pdf", "no.txt"]
    assert demo.names_in("") == []


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    said = run(tmp_path, "nowhere.pdf")
    assert said.returncode == 2
    assert said.stderr == "error: There is no file 'nowhere.pdf'.\n"
    assert not (tmp_path / ".orchestrator").exists()


def _verdict(name: str, status: Status, *, own: bool) -> int:
    batch = Batch(Given({}, "document", (name,)), as_json=True)
    outcome = replace(Outcome(status, Goal("brief_file"), {}, "r"), seconds=1.0)
    batch.end(0, Ended(name, Exit.REACHED, outcome))
    return demo._verdict(batch, own=own)  # pyright: ignore[reportPrivateUsage]


def test_only_what_was_not_expected_fails_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert _verdict("tide-gauge.pdf", Status.REACHED, own=False) == 0
    assert _verdict("empty.pdf", Status.ESCALATED, own=False) == 0
    assert _verdict("tide-gauge.pdf", Status.ESCALATED, own=False) == 1
    assert _verdict("tide-gauge.pdf", Status.ESCALATED, own=True) == 0
    assert _verdict("tide-gauge.pdf", Status.WAITING, own=True) == 1
    assert "unexpected: tide-gauge.pdf" in capsys.readouterr().err
    broken = Batch(Given({}, "document", ("x",)), as_json=True)
    broken.end(0, Ended("x", Exit.UNEXPECTED, error="RuntimeError: boom"))
    assert demo._verdict(broken, own=True) == 1  # pyright: ignore[reportPrivateUsage]
