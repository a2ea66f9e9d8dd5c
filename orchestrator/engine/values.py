"""The values of a run: live objects in memory, JSON in the store's own table, never in a record."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sized
from functools import lru_cache
from typing import Any, Final

from orchestrator.core.schema import adapter, validate
from orchestrator.graph.graph import GraphRevision
from orchestrator.store.protocol import Store

PROVIDED = ""
"""Stands for the giver of a value that was provided."""
KEPT = "!"
"""Begins the giver of what a step keeps for its next call."""


class Unserialisable(Exception):
    """A value cannot be written down and read back as it was."""


def dump(annotation: Any, value: Any) -> str:
    """A value as JSON by its type's adapter. Raises `Unserialisable`."""
    if annotation is Any and not _is_plain(value):
        raise Unserialisable
    try:
        return adapter(annotation).dump_json(value).decode()
    except Exception as error:
        raise Unserialisable from error


def load(annotation: Any, text: str) -> Any:
    """The value that `dump` wrote."""
    if annotation is Any:
        return json.loads(text)
    return adapter(annotation).validate_json(text)


def can_be_stored(annotation: Any) -> bool:
    """Whether values of a type can be written down at all (pydantic knows how)."""
    try:
        return annotation is Any or _known_to_be_storable(annotation)
    except TypeError:  # a type that cannot be hashed
        return _has_json(annotation)


@lru_cache(maxsize=4096)
def _known_to_be_storable(annotation: Any) -> bool:
    return _has_json(annotation)


def _has_json(annotation: Any) -> bool:
    try:
        adapter(annotation).json_schema()
    except Exception:
        return False
    return True


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, str | int | float | bool):
        return True
    if isinstance(value, list):
        return all(map(_is_plain, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())  # pyright: ignore[reportUnknownVariableType]
    return False


class ValueTable:
    """What every finished tool gave (and what was provided), with the store's copy for a resume."""

    def __init__(self, run_id: str, store: Store, *, durable: bool, token: int | None = None) -> None:
        self._run_id = run_id
        self.token = token
        self._store = store
        self._durable = durable
        self._outputs: dict[str, dict[str, Any]] = {}
        self.values: dict[str, Any] = {}
        """The value of each key at hand."""
        self.unstored: set[str] = set()
        """Keys whose value could not be written down."""

    def put(self, giver: str, outputs: Mapping[str, Any], view: GraphRevision) -> tuple[str, ...]:
        """Take in what `giver` gave; returns the keys that had no value before (the first value of a key stays)."""
        self._outputs[giver] = dict(outputs)
        kept = tuple(key for key in outputs if key not in self.values)
        for key in kept:
            self.values[key] = outputs[key]
        if self._durable:
            for key, value in outputs.items():
                self._write(f"{giver}\x1f{key}", view.key_type(key), key, value)
        return kept

    def drop(self, giver: str) -> None:
        """Forget what a tool gave: it was too old."""
        for key in self._outputs.pop(giver, {}):
            self.values.pop(key, None)

    def output(self, giver: str) -> Any:
        """What `compensate` gets: the value of a tool with one key, a mapping for several."""
        outputs = self._outputs.get(giver, {})
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def has_output(self, giver: str) -> bool:
        """Whether the output of a tool is known."""
        return giver in self._outputs

    def note_answer(self, tool: str, text: str, wanted: str, value: Any) -> None:
        """Keep a person's answer to a question of a call (its text and type), for when the call is made again."""
        answers = self._outputs.setdefault(f"?{tool}", {})
        question = _question_name(text, wanted)
        number = 1 + sum(name.startswith(f"{question}.") for name in answers)
        name = f"{question}.{number}"
        answers[name] = value
        if self._durable:
            self._write(f"?{tool}\x1f{name}", Any, tool, value)

    def answer(self, tool: str, text: str, wanted: str, number: int) -> tuple[bool, Any]:
        """Whether a person has answered a question of a step for the `number`th time, and the answer."""
        answers = self._outputs.get(f"?{tool}", {})
        name = f"{_question_name(text, wanted)}.{number}"
        return name in answers, answers.get(name)

    def keep(self, tool: str, name: str, value: Any) -> None:
        """Keep plain data of a step, for when it is called again."""
        self._outputs.setdefault(f"{KEPT}{tool}", {})[name] = value
        if self._durable:
            self._write(f"{KEPT}{tool}\x1f{name}", Any, tool, value)

    def kept(self, tool: str, name: str) -> Any:
        """What `keep` was given; `None` for nothing."""
        return self._outputs.get(f"{KEPT}{tool}", {}).get(name)

    def store_again(self, keys: Iterable[str], at_hand: Mapping[str, str | None], view: GraphRevision) -> None:
        """Write down the values of these keys, after all were dropped."""
        for key in keys:
            if key in self.values:
                self._write(f"{at_hand.get(key) or PROVIDED}\x1f{key}", view.key_type(key), key, self.values[key])

    def _write(self, name: str, annotation: Any, key: str, value: Any) -> None:
        try:
            self._store.put_value(self._run_id, name, dump(annotation, value), self.token)
        except Unserialisable:
            self.unstored.add(key)

    def restore(self, rows: Mapping[str, str], at_hand: Mapping[str, str | None], view: GraphRevision) -> None:
        """Read the store's copy back, for the keys that a run had at hand."""
        for name, text in rows.items():
            giver, _, key = name.partition("\x1f")
            annotation = Any if giver.startswith(("?", KEPT)) else view.key_type(key)
            self._outputs.setdefault(giver, {})[key] = load(annotation, text)
        for key, tool in at_hand.items():
            giver = tool or PROVIDED
            if key in self._outputs.get(giver, {}):
                self.values[key] = self._outputs[giver][key]
            else:
                self.unstored.add(key)


def _question_name(text: str, wanted: str) -> str:
    """What a question is recognised by: its text and the type of its answer."""
    return hashlib.sha256(f"{text}\x1f{wanted}".encode()).hexdigest()[:24]


def checked_inputs(inputs: Mapping[str, Any], view: GraphRevision) -> dict[str, Any]:
    """Inputs as the types of their keys. Raises `InvalidOutput` for one that is not."""
    return {key: validate(key, view.key_type(key), value) for key, value in inputs.items()}


class Digest(str):
    """A keyed digest of values, for records: a short secret cannot be found by trying, without the store's key."""

    plain: str
    """The digest without a key, which records of version 0.1 hold; it is never stored."""

    def matches(self, recorded: str) -> bool:
        """Whether a recorded digest is that of the same values."""
        return recorded == (self if recorded.startswith(_KEYED) else self.plain)


_KEYED: Final = "hmac:"


def same_digest(one: str, recorded: str) -> bool:
    """Whether a digest and a recorded one are of the same values."""
    return one.matches(recorded) if isinstance(one, Digest) else one == recorded


def digest(values: Mapping[str, Any], view: GraphRevision, key: bytes) -> Digest:
    """HMAC-SHA-256 (RFC 2104) of values under the store's key, by their JSON where they have one, else their `repr`."""
    text = _identity(values, view).encode("utf-8", "surrogatepass")
    found = Digest(_KEYED + hmac.new(key, text, hashlib.sha256).hexdigest())
    found.plain = hashlib.sha256(text).hexdigest()
    return found


def _identity(values: Mapping[str, Any], view: GraphRevision) -> str:
    parts: list[str] = []
    for key in sorted(values):
        try:
            parts.append(f"{key}={dump(view.key_type(key), values[key])}")
        except Unserialisable:
            parts.append(f"{key}~{values[key]!r}")
    return "\x1e".join(parts)


def describe(values: Mapping[str, Any], keys: Iterable[str], view: GraphRevision) -> dict[str, str]:
    """Keys with the name of their type and their size, for people and models: never the contents."""
    told: dict[str, str] = {}
    for key in sorted(keys):
        value = values.get(key)
        size = f" of {len(value)}" if isinstance(value, Sized) else ""
        told[key] = f"{type(value).__name__}{size}"
    return told


__all__ = ["PROVIDED", "Digest", "ValueTable", "can_be_stored", "checked_inputs", "describe", "digest", "same_digest"]
