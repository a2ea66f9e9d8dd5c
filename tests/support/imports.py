"""Reads the import graph of a package from its source: who imports whom, in which line."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Import:
    """One import of a module of the package by another; `TYPE_CHECKING` and function-level imports count."""

    source: str
    target: str
    place: str
    """`file:line`."""

    def __str__(self) -> str:
        return f"{self.place} imports {self.target}"


def modules(root: Path, package: str) -> dict[str, Path]:
    """The modules of a package by dotted name."""
    found: dict[str, Path] = {}
    for path in sorted((root / package).rglob("*.py")):
        dotted = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
        found[dotted.removesuffix(".__init__")] = path
    return found


def imports(root: Path, package: str) -> tuple[Import, ...]:
    """Every import inside the package, from the syntax trees of its files."""
    known = modules(root, package)
    found: list[Import] = []
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in _targets(node, name, path.name == "__init__.py", known):
                found.append(Import(name, target, f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"))
    return tuple(found)


def _targets(node: ast.AST, name: str, is_package: bool, known: Mapping[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    elif isinstance(node, ast.ImportFrom):
        base = name.split(".") if is_package else name.split(".")[:-1]
        above = base[: len(base) - node.level + 1] if node.level else []
        origin = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            target = f"{origin}.{alias.name}"
            if target in known:
                yield target
            elif origin in known:
                yield origin


def package_of(module: str) -> str:
    """The package of the first level that a module lies in; empty for a module at the root."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def cycles(edges: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """The strongly connected components of more than one node, and nodes with an edge to themselves (Tarjan 1972)."""
    following: dict[str, set[str]] = {}
    for a, b in edges:
        following.setdefault(a, set()).add(b)
        following.setdefault(b, set())
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[tuple[str, ...]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for after in sorted(following[node]):
            if after not in index:
                visit(after)
                low[node] = min(low[node], low[after])
            elif after in stack:
                low[node] = min(low[node], index[after])
        if low[node] == index[node]:
            place = stack.index(node)
            members = tuple(sorted(stack[place:]))
            del stack[place:]
            if len(members) > 1 or node in following[node]:
                found.append(members)

    for node in sorted(following):
        if node not in index:
            visit(node)
    return found
