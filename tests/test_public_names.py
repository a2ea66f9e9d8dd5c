"""What `import orchestrator` gives is exactly what `__all__` says, and no module hides behind a function's name."""

import ast
import inspect
import pkgutil
import subprocess
from pathlib import Path

import pytest

import orchestrator

ROOT = Path(__file__).parent.parent


def test_all_is_exactly_the_public_names() -> None:
    assert set(orchestrator.__all__) == {*_static_names(), "__version__"}
    assert {name: getattr(orchestrator, name) for name in orchestrator.__all__}
    assert set(dir(orchestrator)) >= set(orchestrator.__all__)
    with pytest.raises(AttributeError, match="no attribute 'tols'"):
        _ = orchestrator.tols


def _static_names() -> set[str]:
    """What type checkers see: the imports under `TYPE_CHECKING`."""
    tree = ast.parse(Path(str(orchestrator.__file__)).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_no_module_bears_the_name_of_an_exported_function() -> None:
    functions = {name for name in orchestrator.__all__ if inspect.isfunction(getattr(orchestrator, name))}
    modules = {module.name for module in pkgutil.iter_modules(orchestrator.__path__)}
    assert functions == {"tool"}
    assert not functions & modules


def test_the_catalogue_folders_are_no_packages() -> None:
    assert not [folder for folder in ("agents", "tools", "policies") if (ROOT / folder / "__init__.py").exists()]


def test_no_file_names_a_package_registry() -> None:
    hosts = [
        ".".join(parts) for parts in (("pypi", "org"), ("files", "pythonhosted", "org"), ("registry", "npmjs", "org"))
    ]
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for name in filter(None, tracked.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix in {
            ".py",
            ".toml",
            ".txt",
            ".md",
            ".cfg",
            ".json",
            ".js",
            ".css",
            ".html",
            "",
        }:
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not [host for host in hosts if host in text], name
