"""What `import orchestrator` gives is exactly what `__all__` says, and no module hides behind a function's name."""

import inspect
import pkgutil
import subprocess
from pathlib import Path

import orchestrator

ROOT = Path(__file__).parent.parent


def test_all_is_exactly_the_public_names() -> None:
    public = {
        name for name, value in vars(orchestrator).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public | {"__version__"} == set(orchestrator.__all__)


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
