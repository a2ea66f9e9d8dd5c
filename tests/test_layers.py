"""The layers of the package, computed from its source: each package imports only what stands below it; no cycles."""

import functools
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.imports import Import, cycles, imports, package_of

ROOT = Path(__file__).parent.parent
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(layer.split())
    for layer in (
        "cli ui service integrations",
        "project testing",
        "api",
        "observability",
        "engine",
        "escalation selection intent",
        "agents",
        "routing health store",
        "graph",
        "core",
    )
)
"""From top to bottom."""
AT_THE_ROOT = {"__init__.py", "api.py", "errors.py", "project.py", "py.typed"}
MOST_FILES = 20


def rank(package: str) -> int:
    return next((place for place, layer in enumerate(LAYERS) if package in layer), -1)


def upward(found: Iterable[Import]) -> list[str]:
    """Imports of a package that stands above, or of the package's root from inside."""
    wrong: list[str] = []
    for each in found:
        source, target = package_of(each.source), package_of(each.target)
        if source in ("", "errors") or source == target:
            continue
        if target in ("", "errors") or rank(source) > rank(target):
            wrong.append(str(each))
    return wrong


def file_cycles(found: Iterable[Import]) -> list[tuple[str, ...]]:
    return cycles((each.source, each.target) for each in found)


def package_cycles(found: Iterable[Import]) -> list[tuple[str, ...]]:
    pairs = ((package_of(each.source), package_of(each.target)) for each in found)
    return cycles((a, b) for a, b in pairs if a and b and a != b)


@functools.cache
def ours() -> tuple[Import, ...]:
    """Every import of the package."""
    return tuple(imports(ROOT, "orchestrator"))


def test_every_package_has_a_layer() -> None:
    packages = {path.name for path in (ROOT / "orchestrator").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert not packages - set().union(*LAYERS) - {"catalog"}
    files = {path.name for path in (ROOT / "orchestrator").iterdir() if path.is_file()}
    assert files == AT_THE_ROOT


def test_no_package_imports_what_stands_above_it() -> None:
    assert upward(ours()) == []


def test_no_two_files_import_each_other_in_circles_of_any_length() -> None:
    assert file_cycles(ours()) == []


def test_packages_of_the_first_level_are_acyclic() -> None:
    assert package_cycles(ours()) == []


def test_no_folder_has_more_files_than_one_can_look_over() -> None:
    folders = {path.parent for path in (ROOT / "orchestrator").rglob("*.py")}
    assert not {str(f): n for f in folders if (n := len(list(f.glob("*.py")))) > MOST_FILES}


PLANTED = {
    "two files": {"core/a.py": "from .b import y", "core/b.py": "from .a import x"},
    "three files, by whole modules": {
        "core/a.py": "from . import b",
        "core/b.py": "import orchestrator.core.c",
        "core/c.py": "from orchestrator.core import a",
    },
    "type checking": {
        "core/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import y",
        "core/b.py": "from .a import x",
    },
    "function level": {"core/a.py": "def f():\n    from .b import y", "core/b.py": "from .a import x"},
    "with the package's own __init__": {
        "core/__init__.py": "from .a import x",
        "core/a.py": "import orchestrator.core as c",
    },
    "a file and itself": {"core/a.py": "from .a import x"},
    "two packages, without a cycle of files": {
        "core/a.py": "from orchestrator.graph.b import y",
        "graph/b.py": "",
        "graph/c.py": "from orchestrator.core.d import z",
        "core/d.py": "",
    },
}


@pytest.mark.parametrize("sort", PLANTED)
def test_a_planted_cycle_is_found(sort: str, tmp_path: Path) -> None:
    for name, text in {"__init__.py": "", "core/__init__.py": "", "graph/__init__.py": "", **PLANTED[sort]}.items():
        path = tmp_path / "orchestrator" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = imports(tmp_path, "orchestrator")
    assert [*file_cycles(found), *package_cycles(found)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("core/a.py", "from orchestrator.engine.run import Run"),
        ("core/a.py", "def f():\n    import orchestrator.api"),
        ("engine/run.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from orchestrator.ui import x"),
        ("core/a.py", "from orchestrator import tool"),
    ],
)
def test_a_planted_import_of_what_stands_above_is_named(name: str, text: str, tmp_path: Path) -> None:
    for path, content in {
        "__init__.py": "",
        "api.py": "",
        "ui/__init__.py": "",
        "engine/run.py": "",
        name: text,
    }.items():
        (tmp_path / "orchestrator" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "orchestrator" / path).write_text(content)
    assert upward(imports(tmp_path, "orchestrator"))[0].startswith(f"orchestrator/{name}:")
