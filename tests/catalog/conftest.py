"""The shipped catalogue, loaded once, and the sample documents."""

import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import examples.invoice.run
import orchestrator.project
from orchestrator import Orchestrator, Tool
from orchestrator.core.process.installation import catalog_root

DOCUMENTS = Path(__file__).parents[2] / "examples" / "documents"
really_load = orchestrator.project.load_project


@functools.cache
def _loaded(root: Path, _settings: tuple[tuple[str, str], ...]) -> orchestrator.project.Project:
    return really_load(root)


def loaded_once(root: Path) -> orchestrator.project.Project:
    """A project, whose code is run once for the same settings: compiling the catalogue takes longer than most tests."""
    return _loaded(root, tuple(item for item in sorted(os.environ.items()) if item[0].startswith("ORCHESTRATOR_")))


@pytest.fixture(autouse=True)
def _projects_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (orchestrator.project, examples.invoice.run):
        monkeypatch.setattr(module, "load_project", loaded_once)


@pytest.fixture(scope="session")
def catalog() -> Mapping[str, Tool]:
    """Every tool and agent of the catalogue, by name."""
    project = loaded_once(catalog_root())
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
