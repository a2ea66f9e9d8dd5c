"""The values of a run: live objects in memory, JSON in the store's own table, never in a record."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sized
from functools import lru_cache, partial
from typing import Any, Final

from pydantic import ValidationError

from orchestrator.core.enums import Effect
from orchestrator.core.types.schema import adapter, explain, type_name
from orchestrator.core.values.content import class_of, content_of, same_content
from orchestrator.graph.graph import GraphRevision
from orchestrator.store.protocol import Store

PROVIDED = ""
"""The giver of a value that was provided from outside."""
KEPT = "!"
"""Prefix of the giver of data that a step keeps for its next call."""


BYTES = "bytes_as_base64"
MESSAGES = "langchain_messages"
"""The field that holds LangChain messages in their own format."""


class Unserialisable(Exception):
    """A value that serialisation does not restore unchanged."""


def dump(annotation: Any, value: Any) -> str:
    """A value as JSON by its type's adapter. Raises `Unserialisable` unless `load_value` returns the same value.

    Values are compared by structure: exact types, all fields, NaN equal to NaN; objects without readable structure by a
    second dump.
    """
    for encode in (_encode, _encode_numbers, _encode_messages, _encode_bytes):
        try:
            text = encode(annotation, value)
            back = load_value(annotation, text)
            equal = same_content(value, back)
            if equal or (equal is None and encode(annotation, back) == text):
                return text
        except Exception as error:
            reason: Exception | None = error
        else:
            reason = None
    raise Unserialisable from reason


def _encode(annotation: Any, value: Any) -> str:
    if annotation is Any and not _is_plain(value):
        raise Unserialisable
    return adapter(annotation).dump_json(value, by_alias=True, warnings=False).decode()


def _encode_numbers(annotation: Any, value: Any) -> str:
    """As JSON with infinities and NaN, which pydantic replaces by null."""
    if not _is_plain(value):
        if annotation is Any:
            raise Unserialisable
        value = adapter(annotation).dump_python(value, mode="json", by_alias=True, warnings=False)
    return json.dumps(value)


def _encode_messages(_annotation: Any, value: Any) -> str:
    """One LangChain message or a list of them as JSON, by LangChain's serialiser."""
    from langchain_core.messages import BaseMessage, messages_to_dict

    several = class_of(value) is list
    messages: list[Any] = value if several else [value]
    if not messages or not all(isinstance(message, BaseMessage) for message in messages):
        raise Unserialisable
    return json.dumps({MESSAGES: messages_to_dict(messages), "several": several})


def _encode_bytes(_annotation: Any, value: Any) -> str:
    if not isinstance(value, bytes):
        raise Unserialisable
    return json.dumps({BYTES: base64.b64encode(value).decode()})


def load_value(annotation: Any, text: str) -> Any:
    """The value that `dump` wrote."""
    if text.startswith('{"' + BYTES):
        return base64.b64decode(json.loads(text)[BYTES])
    if text.startswith('{"' + MESSAGES):
        from langchain_core.messages import messages_from_dict

        data = json.loads(text)
        messages = messages_from_dict(data[MESSAGES])
        return messages if data["several"] else messages[0]
    if annotation is Any:
        return json.loads(text)
    return adapter(annotation).validate_json(text, by_alias=True, by_name=True)


def can_be_stored(annotation: Any) -> bool:
    """Whether pydantic can serialise values of a type."""
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
    """The outputs of finished tools and the inputs, with the store's copy for a resume."""

    def __init__(self, run_id: str, store: Store, *, durable: bool, token: int | None = None) -> None:
        self._run_id = run_id
        self.token = token
        self._store = store
        self._durable = durable
        self._outputs: dict[str, dict[str, Any]] = {}
        self.values: dict[str, Any] = {}
        """The value of each key at hand."""
        self.unstored: set[str] = set()
        """Keys whose value could not be stored or restored."""
        self.unreadable: dict[str, str] = {}
        """Key -> why its stored value cannot be read."""

    def put(self, giver: str, outputs: Mapping[str, Any], view: GraphRevision) -> tuple[str, ...]:
        """Store the outputs of `giver`; returns the keys that had no value before (the first value of a key is
        kept).
        """
        self._outputs[giver] = dict(outputs)
        kept: list[str] = []
        for key, value in outputs.items():
            if key not in self.values:
                self.values[key] = value
                kept.append(key)
        if self._durable:
            for key, value in outputs.items():
                self._write(f"{giver}\x1f{key}", view.given_type(giver, key), key, value)
        return tuple(kept)

    def drop(self, giver: str) -> None:
        """Drop the outputs of a tool that are older than its `ttl`."""
        for key in self._outputs.pop(giver, {}):
            self.values.pop(key, None)

    def output(self, giver: str) -> Any:
        """The output of a tool: the value for a single key, a mapping for several."""
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
        """Whether a person has answered the `number`th occurrence of a question of a step, and the answer."""
        answers = self._outputs.get(f"?{tool}", {})
        name = f"{_question_name(text, wanted)}.{number}"
        return name in answers, answers.get(name)

    def keep(self, tool: str, name: str, value: Any) -> None:
        """Keep plain data of a step, for when it is called again."""
        self._outputs.setdefault(f"{KEPT}{tool}", {})[name] = value
        if self._durable:
            self._write(f"{KEPT}{tool}\x1f{name}", Any, tool, value)

    def kept(self, tool: str, name: str) -> Any:
        """The data that `keep` stored; `None` if there is none."""
        return self._outputs.get(f"{KEPT}{tool}", {}).get(name)

    def store_again(self, keys: Iterable[str], at_hand: Mapping[str, str | None], view: GraphRevision) -> None:
        """Store the values of these keys after all were dropped."""
        for key in keys:
            if key in self.values:
                giver = at_hand.get(key) or PROVIDED
                self._write(f"{giver}\x1f{key}", view.given_type(giver, key), key, self.values[key])

    def bound_to_process(self, at_hand: Mapping[str, str | None], effects: Iterable[str]) -> list[str]:
        """Keys at hand that another process needs and cannot have: inputs or outputs of effects that are not stored."""
        done = set(effects)
        return [key for key in sorted(self.unstored) if key in at_hand and (not at_hand[key] or at_hand[key] in done)]

    def _write(self, name: str, annotation: Any, key: str, value: Any) -> None:
        try:
            self._store.put_value(self._run_id, name, dump(annotation, value), self.token)
        except Unserialisable:
            self.unstored.add(key)

    def restore(self, rows: Mapping[str, str], at_hand: Mapping[str, str | None], view: GraphRevision) -> None:
        """Restore the values of the keys that a run had at hand from the store."""
        for name, text in rows.items():
            giver, _, key = name.partition("\x1f")
            annotation = Any if giver.startswith(("?", KEPT)) else view.given_type(giver, key)
            try:
                self._outputs.setdefault(giver, {})[key] = load_value(annotation, text)
            except Exception as error:  # its type has changed, or other software wrote it
                what = explain(error) if isinstance(error, ValidationError) else type(error).__name__
                self.unreadable[key] = f"{key} is no {type_name(annotation)} any more ({what})"
        for key, tool in at_hand.items():
            giver = tool or PROVIDED
            if key in self._outputs.get(giver, {}):
                self.values[key] = self._outputs[giver][key]
            else:
                self.unstored.add(key)


def _question_name(text: str, wanted: str) -> str:
    """The identity of a question: its text and the type of its answer."""
    return hashlib.sha256(f"{text}\x1f{wanted}".encode()).hexdigest()[:24]


def not_storable(view: GraphRevision, inputs: Mapping[str, Any], tools: Iterable[str]) -> tuple[str, ...]:
    """Keys of a plan that another process could not restore: inputs and outputs of effects that cannot be stored."""
    found: set[str] = set()
    for key, value in inputs.items():
        try:
            dump(view.key_type(key), value)
        except Unserialisable:
            found.add(key)
    for name in tools:
        if view.nodes[name].effect != Effect.READ:
            found |= {key for key in view.nodes[name].gives if not can_be_stored(view.given_type(name, key))}
    return tuple(sorted(found))


class Digest(str):
    """A keyed digest of values, for records: a short secret cannot be found by trying, without the store's key."""

    plain: Callable[[], str]
    """The digest without a key, which records of version 0.1 hold; it is never stored."""

    def matches(self, recorded: str) -> bool:
        """Whether a recorded digest is that of the same values."""
        return recorded == (self if recorded.startswith(_KEYED) else self.plain())


_KEYED: Final = "hmac:"


def same_digest(one: str, recorded: str) -> bool:
    """Whether a digest and a recorded one are of the same values."""
    return one.matches(recorded) if isinstance(one, Digest) else one == recorded


def digest(values: Mapping[str, Any], view: GraphRevision, key: bytes) -> Digest:
    """HMAC-SHA-256 (RFC 2104) under the store's key of the content of values, different for different values."""
    found = Digest(_KEYED + hmac.new(key, content_of(dict(values)).digest, hashlib.sha256).hexdigest())
    found.plain = partial(_plain_digest, dict(values), view)
    return found


def _plain_digest(values: Mapping[str, Any], view: GraphRevision) -> str:
    parts: list[str] = []
    for key in sorted(values):
        annotation = view.key_type(key)
        try:
            if annotation is Any and not _is_plain(values[key]):
                raise Unserialisable
            parts.append(f"{key}={adapter(annotation).dump_json(values[key]).decode()}")
        except Exception:
            parts.append(f"{key}~{values[key]!r}")
    return hashlib.sha256("\x1e".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def describe_values(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, str]:
    """Keys with the names of their types and their sizes, for people and models; never the contents."""
    described: dict[str, str] = {}
    for key in sorted(keys):
        value = values.get(key)
        size = f" of {len(value)}" if isinstance(value, Sized) else ""
        described[key] = f"{type(value).__name__}{size}"
    return described


__all__ = [
    "PROVIDED",
    "Digest",
    "ValueTable",
    "can_be_stored",
    "describe_values",
    "digest",
    "not_storable",
    "same_digest",
]
