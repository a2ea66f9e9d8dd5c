"""The identity of a value: a digest of its content, different for different values.

Two values have one digest exactly when they are the same by structure: builtins by exact type (NaN equals NaN, -0.0 is
not 0.0), models and dataclasses by class and all fields, arrays by bytes, mappings and sets whatever their order, other
objects by what `copy` and `pickle` read of them.
"""

import copyreg
import dataclasses
import datetime
import decimal
import hashlib
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from operator import methodcaller
from pathlib import PurePath
from types import CodeType, GenericAlias, ModuleType
from typing import Any, Final, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import TzInfo

_SCALARS: Final[tuple[Any, ...]] = (str, int, float, complex, bytes)
_NEW: Final[Any] = vars(copyreg)["__newobj__"]

DEPTH: Final = 200
"""Levels of nesting that are looked at; what is deeper, or holds itself, is opaque."""


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """The digest of a value, and whether something in it is identified by its address only."""

    digest: bytes
    opaque: bool


def content_of(value: Any) -> Content:
    """The content of a value. Never raises."""
    reader = _Reader()
    return Content(reader.digest(value), reader.opaque)


def same_content(one: Any, other: Any) -> bool | None:
    """Whether two values are equal by structure; `None` where that is not decidable."""
    had, has = content_of(one), content_of(other)
    if had.digest == has.digest:
        return True
    return None if had.opaque and has.opaque and type(one) is type(other) else False


def class_of(value: Any) -> type[Any]:
    """The exact class of a value."""
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    return cast("type[Any]", kind)


class _Reader:
    def __init__(self) -> None:
        self.opaque = False
        self._open: set[int] = set()

    def digest(self, value: Any) -> bytes:
        kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
        read = _PLAIN.get(kind)
        if read is not None:  # as every other digest: of the tag and the class, and of the one part with its length
            try:
                part = read(value)
            except Exception:
                return self._unknown(value)
            head = f"plain:{kind.__qualname__}:".encode("utf-8", "surrogatepass")
            return hashlib.sha256(b"".join((head, len(part).to_bytes(8, "big"), part))).digest()
        if id(value) in self._open or len(self._open) > DEPTH:
            return self._unknown(value)
        self._open.add(id(value))
        try:
            tag, parts = self._parts(value, kind)
        except Exception:
            return self._unknown(value)
        finally:
            self._open.discard(id(value))
        whole = hashlib.sha256(f"{tag}:{kind.__qualname__}:".encode("utf-8", "surrogatepass"))
        for part in parts:
            whole.update(len(part).to_bytes(8, "big"))
            whole.update(part)
        return whole.digest()

    def _unknown(self, value: Any) -> bytes:
        self.opaque = True
        return hashlib.sha256(f"opaque:{type(value).__qualname__}:{id(value)}".encode()).digest()

    def _parts(self, value: Any, kind: type[Any]) -> tuple[str, Iterable[bytes]]:
        if isinstance(value, PurePath):  # also `Path`, whose class depends on the platform
            return "plain", [_text(repr(value))]
        if isinstance(value, Enum):
            return "enum", [_text(value.name)]
        if isinstance(value, SecretStr | SecretBytes):
            return "secret", [self.digest(value.get_secret_value())]
        if isinstance(value, BaseModel):
            fields = type(value).model_fields
            held = {name: item for name, item in value.__dict__.items() if name in fields}  # no cached properties
            held |= {"": value.__pydantic_extra__, "_": value.__pydantic_private__}
            return "model", self._pairs(held)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return "dataclass", self._pairs({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
        if isinstance(value, Mapping):
            return "mapping", [*sorted(self._pairs(value)), *(() if kind is dict else self._more(value))]  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, set | frozenset):
            return "set", [*sorted(map(self.digest, cast("Iterable[Any]", value))), *self._more(value)]
        if isinstance(value, list | tuple):
            return "list", [*map(self.digest, cast("Iterable[Any]", value)), *self._more(value)]
        return self._other(value, kind)

    def _more(self, value: Any) -> list[bytes]:
        """What a subclass of a builtin holds beside its items: attributes, the factory of a `defaultdict`."""
        held = {**getattr(value, "__dict__", {})}
        factory = getattr(value, "default_factory", None)
        return self._pairs(held if factory is None else {**held, "default_factory": factory})

    def _other(self, value: Any, kind: Any) -> tuple[str, Iterable[bytes]]:
        if issubclass(kind, type):  # a class, which has its objects' attributes too
            return "function", self._function(value)
        if hasattr(value, "dtype") and hasattr(value, "tobytes") and value.dtype != object:
            mask = [self.digest(value.mask)] if hasattr(value, "mask") else []
            return "array", [_text(str(value.dtype)), _text(str(value.shape)), value.tobytes(), *mask]
        if hasattr(value, "columns") and hasattr(value, "to_dict"):  # a data frame
            columns = [(c, str(value[c].dtype), value[c].to_list()) for c in value.columns]
            return "frame", [self.digest(columns), *self._index(value)]
        if hasattr(value, "dtype") and hasattr(value, "to_list"):  # a column of one
            return "column", [self.digest((value.name, str(value.dtype), value.to_list())), *self._index(value)]
        if callable(value) and hasattr(value, "__qualname__") and not isinstance(value, GenericAlias):
            return "function", self._function(value)
        for base in _SCALARS:
            if isinstance(value, base):  # a subclass, whose own `__repr__` may leave something out
                return "plain", [_text(base.__repr__(value)), *self._more(value)]
        if isinstance(value, BaseException):
            return "error", [self.digest(value.args), *self._more(value)]
        return self._reduced(value, kind)

    def _index(self, value: Any) -> list[bytes]:
        index: Any = getattr(value, "index", None)
        if not hasattr(index, "names"):
            return [self.digest([])]
        return [self.digest(index.tolist()), self.digest(list(index.names))]

    def _function(self, value: Any) -> list[bytes]:
        """A function by its name; a local one also by its code and what it holds, a method by its object."""
        parts = [_text(f"{value.__module__}.{value.__qualname__}")]
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, ModuleType):
            return [*parts, self.digest(owner)]
        if "<" in value.__qualname__ and hasattr(value, "__code__"):
            code = value.__code__
            held = [cell.cell_contents for cell in value.__closure__ or ()]
            constants = [item for item in code.co_consts if not isinstance(item, CodeType)]
            names = [*code.co_names, code.co_firstlineno]
            parts += map(self.digest, (code.co_code, constants, names, value.__defaults__, value.__kwdefaults__, held))
        return parts

    def _reduced(self, value: Any, kind: Any) -> tuple[str, Iterable[bytes]]:
        """Any other object by what `copy` and `pickle` would make it of again. Raises where they could not."""
        registered: Any = copyreg.dispatch_table.get(kind)
        reduction: Any = value.__reduce_ex__(4) if registered is None else registered(value)
        if isinstance(reduction, str):
            return "global", [_text(reduction)]
        make, args, state, items, pairs = (*reduction, None, None, None)[:5]
        parts = (make, args, state, None if items is None else list(items), None if pairs is None else list(pairs))
        if make is _NEW and args == (kind,) and parts[3:] == (None, None) and isinstance(state, dict | None):
            return "object", self._pairs(cast("Any", state or {}))
        return "reduced", list(map(self.digest, parts))

    def _pairs(self, held: Mapping[Any, Any]) -> list[bytes]:
        found: list[bytes] = []
        for key, item in held.items():
            found.append(self.digest(key) + self.digest(item))
        return found


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _moment(value: Any) -> bytes:
    return _text(f"{value.isoformat()} {_zone(value.tzinfo)} {value.fold}")


def _zone(zone: datetime.tzinfo | None) -> str:
    """What a time zone is beside its offset; nothing for one that is an offset only."""
    if isinstance(zone, ZoneInfo):
        return str(zone.key)
    if isinstance(zone, datetime.timezone):
        named: Any = zone.__reduce__()[1][1:]
        return str(named[0]) if named else ""
    return "" if zone is None or isinstance(zone, TzInfo) else repr(zone)


def _as_repr(value: Any) -> bytes:
    return _text(repr(value))


_PLAIN: Final[Mapping[type, Callable[[Any], bytes]]] = {
    **dict.fromkeys((type(None), bool, int, float, complex, range, UUID, decimal.Decimal), _as_repr),
    **dict.fromkeys((datetime.date, datetime.timedelta), _as_repr),
    **dict.fromkeys((datetime.datetime, datetime.time), _moment),
    **dict.fromkeys({type(PurePath()), *PurePath.__subclasses__()}, _as_repr),
    str: methodcaller("encode", "utf-8", "surrogatepass"),
    bytes: partial(bytes),
    bytearray: partial(bytes),
}
