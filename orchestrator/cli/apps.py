"""`--app module:name`: the orchestrator of a plain program, instead of a project folder."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.agents.agent import Agent
from orchestrator.api import Orchestrator
from orchestrator.core.calls.options import shown_value
from orchestrator.core.errors import DefinitionError, InputError, nearest
from orchestrator.core.policy import Policy
from orchestrator.core.text import plain
from orchestrator.project import Project

from .invocation import DEFAULT_POLICY


@dataclass(frozen=True)
class AppProject(Project):
    """A program's orchestrator with the interface of a project: it has its own policy, ladder and store."""

    orchestrator: Orchestrator | None = None

    @property
    def made(self) -> Orchestrator:
        """The program's orchestrator."""
        assert self.orchestrator is not None
        return self.orchestrator

    def policy(self, name: str | Path) -> Policy:
        """Its own policy. Raises `InputError` if another one is requested."""
        if str(name) != DEFAULT_POLICY:
            raise InputError(f"The program of --app has its own policy; --policy {plain(name, 60)} does not apply.")
        return self.made.policy


@cache
def load_app(text: str) -> AppProject:
    """The program that `module:name` or `path/to/file.py:name` names; this runs its code.

    Raises `InputError` for a text of another form, `DefinitionError` for a module or name that is not there.
    """
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name.isidentifier():
        raise InputError(f"--app is written module:name or file.py:name, not {plain(text, 60)!r}.")
    module = _module(where)
    found: Any = getattr(module, name, None)
    if inspect.isfunction(found):
        found = _made_by(found, text)
    if not isinstance(found, Orchestrator):
        known = [each for each, value in vars(module).items() if isinstance(value, Orchestrator)]
        has = f" It has: {', '.join(known)}." if known else ""
        wrong = f"{name!r} there is {shown_value(found)}." if found is not None else nearest(name, known).strip()
        raise DefinitionError(f"{plain(where, 60)} has no orchestrator named {name!r}. {wrong}".rstrip() + has)
    tools = list(found.graph)
    file = Path(getattr(module, "__file__", None) or where)
    return AppProject(
        root=file.parent,
        tools=tuple(tool for tool in tools if not isinstance(tool, Agent)),
        agents=tuple(tool for tool in tools if isinstance(tool, Agent)),
        sources=dict.fromkeys((tool.name for tool in tools), file),
        orchestrator=found,
    )


def _made_by(factory: Callable[[], Any], text: str) -> Any:
    try:
        return factory()
    except Exception as error:
        raise DefinitionError(f"--app {plain(text, 60)}: {type(error).__name__}: {plain(error, 200)}") from error


def _module(where: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if where.endswith(".py"):
            return _file(Path(where))
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name != where.partition(".")[0] and error.name != where:
            raise DefinitionError(f"--app {plain(where, 60)}: {error}.") from error
        raise DefinitionError(f"There is no module {plain(where, 60)!r} here or among the installed ones.") from None
    except (InputError, DefinitionError):
        raise
    except Exception as error:
        raise DefinitionError(f"--app {plain(where, 60)}: {type(error).__name__}: {plain(error, 200)}") from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise DefinitionError(f"There is no file {plain(path, 200)!r}.")
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


__all__ = ["AppProject", "load_app"]
