"""The identity of a value: a digest of its content, different for different values.

Two values have one digest exactly when they are the same by structure: builtins by exact type (NaN equals NaN, -0.0 is
not 0.0), models and dataclasses by class and all fields, arrays by bytes, mappings and sets whatever their order.
"""

import dataclasses
import datetime
import decimal
import hashlib
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from operator import methodcaller
from pathlib import PurePath
from typing import Any, Final, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, SecretBytes, SecretStr

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
            held = {**value.__dict__, "": value.__pydantic_extra__, "_": value.__pydantic_private__}
            return "model", self._pairs(held)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return "dataclass", self._pairs({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
        if isinstance(value, Mapping):
            return "mapping", sorted(self._pairs(value))  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, set | frozenset):
            return "set", sorted(map(self.digest, cast("Iterable[Any]", value)))
        if isinstance(value, list | tuple):
            return "list", list(map(self.digest, cast("Iterable[Any]", value)))
        return self._other(value, kind)

    def _other(self, value: Any, kind: type) -> tuple[str, Iterable[bytes]]:
        if hasattr(value, "dtype") and hasattr(value, "tobytes") and value.dtype != object:
            return "array", [_text(str(value.dtype)), _text(str(value.shape)), value.tobytes()]
        if hasattr(value, "columns") and hasattr(value, "to_dict"):  # a data frame
            columns = [(str(c), str(value[c].dtype), value[c].tolist()) for c in value.columns]
            return "frame", [self.digest(columns), self.digest(value.index.tolist() if hasattr(value, "index") else [])]
        if callable(value) and hasattr(value, "__qualname__"):
            return "function", [_text(f"{value.__module__}.{value.__qualname__}")]
        if isinstance(value, str | int | float | complex | bytes):  # a subclass of a builtin
            return "plain", [_text(repr(value))]
        if isinstance(value, BaseException):
            return "error", [self.digest(value.args)]
        if hasattr(value, "__dict__") and kind.__module__ != "builtins":
            return "object", self._pairs(vars(value))
        raise TypeError(kind)

    def _pairs(self, held: Mapping[Any, Any]) -> list[bytes]:
        found: list[bytes] = []
        for key, item in held.items():
            found.append(self.digest(key) + self.digest(item))
        return found


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _moment(value: Any) -> bytes:
    zone = value.tzinfo
    named = zone.key if isinstance(zone, ZoneInfo) else ""
    return _text(f"{value.isoformat()} {named} {value.fold}")


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
