"""`KEY=VALUE` on the command line: values by the types of their keys, and one key over many files."""

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.types import PathType

from orchestrator.core.enums import Effect
from orchestrator.core.errors import InputError, nearest
from orchestrator.core.goal import Goal
from orchestrator.core.text import plain
from orchestrator.core.types.schema import adapter, base_type, explain, type_name, without_none
from orchestrator.graph.revision import GraphRevision

_PAIR = re.compile(r"([^=\s]+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Given:
    """The inputs given after the goal."""

    values: Mapping[str, Any]
    each: str | None = None
    """The key with many values."""
    over: tuple[Any, ...] = ()
    """Those values, in order."""


def goal_of(text: str, demotions: Sequence[str] = ()) -> Goal[Any]:
    """A goal from the command line: `brief`, or `brief+title` for two keys."""
    return Goal(_keys(text), demotions=[Goal(_keys(lesser)) for lesser in demotions])


def _keys(text: str) -> list[str]:
    keys = [key.strip() for key in text.split("+")]
    if not all(keys):
        raise InputError(f"A goal is a key, or several joined by +, not {plain(text, 60)!r}.")
    return keys


def read_inputs(view: GraphRevision, words: Sequence[str], each: str | None = None) -> Given:
    """Parse the words after the goal into values by the types of their keys.

    With `each`, words without `=`, and those that name a file, are the values of that key: files, folders (the files in
    them) and patterns for a key of paths, values for any other. Raises `InputError`.
    """
    pairs, over = _sorted_out(words, each)
    values: dict[str, Any] = {}
    for key, text in pairs:
        check_key(view, key)
        if key in values or key == each:
            raise InputError(f"{plain(key)!r} is given twice.")
        values[key] = read_value(view, key, text)
    if each is None:
        return Given(values)
    check_key(view, each)
    found = _expanded(over) if is_path(view.key_type(each)) else tuple(over)
    if not found:
        raise InputError(
            f"--each {plain(each)} needs at least one value, for instance: --each {plain(each)} a.pdf b.pdf"
        )
    return Given(values, each, tuple(read_value(view, each, text) for text in found))


def _sorted_out(words: Iterable[str], each: str | None) -> tuple[list[tuple[str, str]], list[str]]:
    pairs: list[tuple[str, str]] = []
    over: list[str] = []
    for word in words:
        pair = _PAIR.fullmatch(word)
        if each is not None and (pair is None or Path(word).exists()):
            over.append(word)
        elif pair is None:
            raise InputError(f"An input is written KEY=VALUE, not {plain(word, 60)!r}.")
        else:
            pairs.append((pair[1], pair[2]))
    return pairs, over


def check_key(view: GraphRevision, key: str) -> None:
    """Raises `InputError` for a key that no tool knows, with the nearest names."""
    if key not in view.keys:
        names = ", ".join(sorted(view.keys)[:12]) or "none"
        raise InputError(f"No tool takes or gives {plain(key, 60)!r}.{nearest(key, view.keys)} Known keys: {names}.")


def read_value(view: GraphRevision, key: str, text: str) -> Any:
    """Parse a word by the key's type: as text, else as JSON. Raises `InputError`."""
    annotation = view.key_type(key)
    if annotation is Any:
        return _json_or_text(text)
    if is_path(annotation):
        _check_file(view, key, annotation, text)
    reader = adapter(annotation)
    try:
        return reader.validate_python(text)
    except ValidationError as error:
        as_text = error
    try:
        return reader.validate_json(text)
    except ValidationError as error:
        problem = error if text.lstrip()[:1] in ("{", "[") else as_text
    raise InputError(f"{plain(key)}={plain(text, 60)}: no {type_name(annotation)}: {explain(problem)}")


def _json_or_text(text: str) -> Any:
    try:
        return adapter(Any).validate_json(text)
    except ValidationError:
        return text


def is_path(annotation: Any) -> bool:
    """Whether a key of this type takes a path."""
    bare = base_type(without_none(annotation))
    return isinstance(bare, type) and issubclass(bare, Path)


def _check_file(view: GraphRevision, key: str, annotation: Any, text: str) -> None:
    """Check that an input file exists, before anything is run."""
    path = Path(text).expanduser()
    consumers = [view.nodes[name] for name in view.consumers(key)]
    must_exist = _wants_existing(annotation) or (
        bool(consumers) and not view.producers(key) and all(node.effect == Effect.READ for node in consumers)
    )
    if must_exist and not path.exists():
        hint = nearest(path.name, _beside(path)) if path.parent.is_dir() else " Its folder does not exist either."
        raise InputError(f"{plain(key)}={plain(text, 200)}: there is no such file.{hint}")


def _wants_existing(annotation: Any) -> bool:
    bare = without_none(annotation)
    metadata = get_args(bare)[1:] if get_origin(bare) is Annotated else ()
    return any(isinstance(item, PathType) and item.path_type in ("file", "dir") for item in metadata)


def _beside(path: Path) -> list[str]:
    try:
        return sorted(item.name for item in path.parent.iterdir())[:1000]
    except OSError:
        return []


def _expanded(words: Iterable[str]) -> tuple[str, ...]:
    """The files of these words: those in a folder, those that match a pattern; each once, in order."""
    found: dict[str, None] = {}
    for word in words:
        path = Path(word).expanduser()
        if path.is_dir():
            names = sorted(str(item) for item in path.iterdir() if item.is_file() and not item.name.startswith("."))
        elif path.exists() or not glob.has_magic(word):
            names = [str(path)]
        else:
            names = sorted(name for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
            if not names:
                raise InputError(f"No file matches {plain(word, 200)!r}.")
        found.update(dict.fromkeys(names))
    return tuple(found)
