"""Project folders: `tools/*.py`, `agents/*.py`, `policies/*.toml` and `schedules/*.toml`, loaded by path.

Files may lie in folders of one level: `tools/web/*.py`; a folder with an `__init__.py` is a package and ignored.

A file is plain Python that imports `orchestrator` and installed packages. Every `Tool` and `Agent` at its top level is
registered. A function `setup(orc)` in it is called with the orchestrator, for `orc.connect(...)` and
`orc.require_skills(...)`. Files whose names begin with `_` are ignored. Files cannot import each other: a project
folder is not a package, so it can never shadow one.

Loading a project runs its code. Only a folder that the caller names is ever loaded.
"""

import hashlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from orchestrator.agents.agent import Agent
from orchestrator.core.errors import DefinitionError, nearest
from orchestrator.core.policy import Policy
from orchestrator.core.process.installation import catalog_root
from orchestrator.engine.background.schedules import Schedule, schedules_of
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.tool import Tool

from .api import Orchestrator

FOLDERS: Final = ("tools", "agents")
"""Where the Python files of a project lie."""

Setup = Callable[[Orchestrator], object]


@dataclass(frozen=True)
class Project:
    """What a project folder holds."""

    root: Path
    tools: tuple[Tool, ...]
    agents: tuple[Agent, ...]
    sources: Mapping[str, Path]
    """The file that each tool and agent is written in, by name."""
    setups: tuple[tuple[Path, Setup], ...] = ()
    """The `setup` functions, with their files."""

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the project's own policies, sorted."""
        return tuple(sorted(path.stem for path in (self.root / "policies").glob("*.toml")))

    @cached_property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules of `schedules/*.toml`, by name. Raises `DefinitionError` naming the file."""
        return schedules_of(self.root / "schedules")

    def policy(self, name: str | Path) -> Policy:
        """The project's policy of that name, else the shipped one; a name ending in `.toml` is a path.

        Raises `DefinitionError` naming file, line and field.
        """
        if Path(name).suffix == ".toml":
            return Policy.read(Path(name))
        own = self.root / "policies" / f"{name}.toml"
        if own.parent.name == "policies" and own.is_file():
            return Policy.read(own)
        try:
            return Policy.load(name)
        except DefinitionError as error:
            shipped = self.root.resolve() == catalog_root().resolve()  # whose policies were listed already
            if shipped or str(name) in self.policies or not self.policies:
                raise
            hint = nearest(str(name), self.policies)
            raise DefinitionError(f"{error} In {self.root}: {', '.join(self.policies)}.{hint}") from None

    def set_up(self, orc: "Orchestrator") -> None:
        """Call the project's `setup` functions. Raises `DefinitionError` naming file and line."""
        for path, setup in self.setups:
            try:
                setup(orc)
            except Exception as error:
                raise _explained(path, error) from error


def load_orchestrator(made: type[Orchestrator], path: Path, options: dict[str, Any]) -> Orchestrator:
    """An orchestrator of the project folder at `path`: `Orchestrator.from_project`. Raises `DefinitionError`."""
    project = load_project(path)
    policy = options.pop("policy", None)
    if isinstance(policy, str):
        policy = project.policy(policy)
    orchestrator = made(project.tools, project.agents, policy=policy, **options)
    project.set_up(orchestrator)
    return orchestrator


def load_project(path: Path, on_problem: Callable[[DefinitionError], object] | None = None) -> Project:
    """Load a project folder; this runs the code in it.

    `on_problem` is called for each wrong file, which is left out, instead of raising an error for the first one.

    Raises:
        DefinitionError: it is no project folder, or a file in it is wrong; the message names file and line.
    """
    if path.is_file():
        raise DefinitionError(f"{str(path)!r} is a file: a project is a folder with tools/ or agents/ in it.")
    if not path.is_dir():
        raise DefinitionError(
            f"There is no folder {str(path)!r}. `orchestrator init {shlex.quote(str(path))}` makes a project there."
        )
    if not any((path / folder).is_dir() for folder in FOLDERS):
        raise DefinitionError(f"{str(path)!r} is no project: it has neither a folder tools/ nor a folder agents/.")
    graph, found, sources = ToolGraph(), list[Tool](), dict[str, Path]()
    setups: list[tuple[Path, Setup]] = []
    seen: set[int] = set()
    for file in _files(path):
        try:
            module = _load(path, file)
            for tool in _tools_of(module):
                if id(tool) in seen:
                    continue
                seen.add(id(tool))
                _check(graph, tool, file, sources)
                found.append(tool)
        except DefinitionError as error:
            if on_problem is None:
                raise
            on_problem(error)
            continue
        setup = vars(module).get("setup")
        if callable(setup) and getattr(setup, "__module__", None) == module.__name__:
            setups.append((file, setup))
    return Project(
        root=path,
        tools=tuple(tool for tool in found if not isinstance(tool, Agent)),
        agents=tuple(tool for tool in found if isinstance(tool, Agent)),
        sources=sources,
        setups=tuple(setups),
    )


def _files(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        files = [*(root / folder).glob("*.py"), *(root / folder).glob("*/*.py")]
        for file in sorted(files):
            parts = file.relative_to(root / folder).parts
            package = len(parts) > 1 and (file.parent / "__init__.py").exists()
            if file.is_file() and not package and not any(part.startswith(("_", ".")) for part in parts):
                yield file


def module_name(root: Path, file: Path) -> str:
    """The name under which a project's file is loaded: the same for the same path, and no import name of anybody."""
    digest = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    names = [file.parent.parent.name, file.parent.name] if file.parent.name not in FOLDERS else [file.parent.name]
    return "_".join(["orchestrator_project", digest, *(re.sub(r"\W", "_", name) for name in (*names, file.stem))])


def _load(root: Path, file: Path) -> ModuleType:
    """Run one file as a module of its own. It is in `sys.modules` while it runs: forward references need that."""
    name = module_name(root, file)
    module = ModuleType(name)
    module.__file__ = str(file.resolve())
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(compile(file.read_bytes(), module.__file__, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        raise _explained(file, error) from error
    return module


def _tools_of(module: ModuleType) -> Iterator[Tool]:
    for value in list(vars(module).values()):
        if isinstance(value, Tool):
            yield value


def _check(graph: ToolGraph, tool: Tool, file: Path, sources: dict[str, Path]) -> None:
    """Put the tool into a graph of the project so far. Raises `DefinitionError` naming all files to blame."""
    known = sources.get(tool.name)
    if known is not None:
        where = f"{known} and {file}" if known != file else f"{file}, twice"
        raise DefinitionError(f"There are two tools of the name {tool.name!r}: in {where}. Rename one of them.")
    try:
        graph.add(tool)
    except Exception as error:
        named = re.findall(r"tool '([^']+)'", str(error)) if isinstance(error, DefinitionError) else []
        others = [f"{name!r} is in {sources[name]}" for name in dict.fromkeys(named) if name in sources]
        here = f"{tool.name!r} is in {file}"
        raise DefinitionError(f"{_message(error)} ({'; '.join([*others, here])}.)") from error
    sources[tool.name] = file


def _explained(file: Path, error: BaseException) -> DefinitionError:
    """What went wrong in a file, with the line."""
    line = _line(file, error)
    place = f"{file}:{line}" if line else str(file)
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        beside = (file.parent / f"{error.name.partition('.')[0]}.py").is_file()
        hint = (
            " Files of a project cannot import each other: put what they share into an installed package."
            if beside
            else ". Is the package installed?"
        )
    return DefinitionError(f"{place}: {_message(error)}{hint}")


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.msg}."
    text = " ".join(str(error).split())
    if isinstance(error, DefinitionError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _line(file: Path, error: BaseException) -> int | None:
    """The line of the file that the error came from."""
    if isinstance(error, SyntaxError) and error.filename == str(file.resolve()):
        return error.lineno
    found: int | None = None
    trace: Any = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file.resolve()):
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


Orchestrator._project_loader = staticmethod(load_orchestrator)  # pyright: ignore[reportPrivateUsage]
