"""Differences between two versions of a document, and their inverse."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

Sections = Mapping[str, Mapping[str, Any]]


class Change(BaseModel):
    """One difference between two documents; `None` means absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: tuple[str, ...]
    """The path: section, key, and so on."""
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        return f"{' / '.join(self.path)}: {_short(self.before)} -> {_short(self.after)}"


class Revision(BaseModel):
    """An earlier version: a note about its successor, and the changes that undo that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    note: str = ""
    undo: tuple[Change, ...] = ()


def changes_between(before: Sections, after: Sections) -> tuple[Change, ...]:
    """Every difference, sorted; shared objects are not compared."""
    found: list[Change] = []
    for section in sorted({*before, *after}):
        old, new = before.get(section, {}), after.get(section, {})
        if old is new:
            continue
        for key in sorted({*old, *new}):
            if old.get(key) is not new.get(key):
                _compare((section, key), _plain(old.get(key)), _plain(new.get(key)), found)
    return tuple(found)


def _compare(path: tuple[str, ...], before: Any, after: Any, found: list[Change]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast(dict[str, Any], before), cast(dict[str, Any], after)
        for key in sorted({*old, *new}):
            _compare((*path, key), old.get(key), new.get(key), found)
    elif before != after:
        found.append(Change(path=path, before=before, after=after))


def inverse_changes(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The inverse changes."""
    return tuple(Change(path=c.path, before=c.after, after=c.before) for c in changes)


def apply_changes(data: Mapping[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """The data with each change applied; `None` removes the place."""
    result = dict(data)
    for change in changes:
        result = _set(result, change.path, change.after)
    return result


def _set(data: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    head, rest = path[0], path[1:]
    copy = dict(data)
    if rest:
        copy[head] = _set(cast(Mapping[str, Any], copy.get(head) or {}), rest, value)
    elif value is None:
        copy.pop(head, None)
    else:
        copy[head] = value
    return copy


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
