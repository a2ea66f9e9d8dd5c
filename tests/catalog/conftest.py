"""The shipped catalogue, loaded once, and the sample documents."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Tool
from orchestrator.core.process.catalog_path import catalog_root
from orchestrator.project import load_project

DOCUMENTS = Path(__file__).parents[2] / "examples" / "documents"


@pytest.fixture(scope="session")
def catalog() -> Mapping[str, Tool]:
    """Every tool and agent of the catalogue, by name."""
    project = load_project(catalog_root())
    return {tool.name: tool for tool in (*project.tools, *project.agents)}


@pytest.fixture
def orc() -> Iterator[Orchestrator]:
    """The catalogue as users load it."""
    loaded = Orchestrator.from_project(catalog_root())
    yield loaded
    loaded.close()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Poppler, Tesseract or any other program."""
    monkeypatch.setenv("PATH", str(tmp_path / "no programs here"))
