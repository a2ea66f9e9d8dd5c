"""Schemas of an OpenAPI description as pydantic types."""

import re
from collections.abc import Container, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

from orchestrator.core.types.json_schema import enum_of, is_plain_name, together, type_of

from .document import Document

MAX_DEPTH: Final = 12


class Open(BaseModel):
    """Base of the models: a server may add fields."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=())


class Types:
    """Types of schemas; a named schema is one model. A schema that refers to itself is `Any` there."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._named: dict[str, Any] = {}

    def of(self, schema: Any, name: str, depth: int = 0) -> Any:
        """The type of a schema."""
        found, reference = self._document.resolve(schema)
        if reference:
            if reference not in self._named:
                self._named[reference] = Any
                self._named[reference] = self._made(found, reference.rsplit("/", 1)[-1], depth)
            return self._named[reference]
        return self._made(found, name, depth)

    def _made(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
            return Any
        made = self._plain(schema, name, depth + 1)  # pyright: ignore[reportUnknownArgumentType]
        return made | None if schema.get("nullable") and made is not Any else made  # pyright: ignore[reportUnknownMemberType]

    def _plain(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        if "enum" in schema or "const" in schema:
            return enum_of(schema)
        if isinstance(schema.get("allOf"), list):
            return self._all_of(schema, name, depth)
        for word in ("oneOf", "anyOf"):
            if isinstance(schema.get(word), list):
                return together(self.of(part, f"{name}{n}", depth) for n, part in enumerate(schema[word], 1))
        kind = schema.get("type")
        if isinstance(kind, list):
            return together(self._plain({**schema, "type": each}, name, depth) for each in kind)  # pyright: ignore[reportUnknownVariableType]
        if kind == "array":
            items: Any = self.of(schema.get("items", {}), f"{name}Item", depth)
            return list[items]
        if kind == "object" or "properties" in schema:
            return self._object(schema, name, depth)
        if schema.get("format") == "binary":
            return bytes
        return type_of(schema)

    def _is_of_one_side(self, schema: Any) -> bool:
        """Whether a property is only in requests or only in responses; one model serves both."""
        found, _ = self._document.resolve(schema)
        return isinstance(found, Mapping) and bool(found.get("readOnly") or found.get("writeOnly"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

    def _all_of(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        """One object with the fields of all; a single part is that part."""
        parts = [self._document.resolve(part)[0] for part in schema["allOf"]]
        if len(parts) == 1 and "properties" not in schema:
            return self.of(schema["allOf"][0], name, depth)
        merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
        self._merge(merged, schema, frozenset())
        return self._object(merged, name, depth) if merged["properties"] else Any

    def _merge(self, merged: dict[str, Any], schema: Any, seen: frozenset[str]) -> None:
        """Add the fields of an object and of all that its `allOf` names, at any depth."""
        found, reference = self._document.resolve(schema)
        if not isinstance(found, Mapping) or reference in seen:
            return
        stated: Mapping[str, Any] = found  # pyright: ignore[reportUnknownVariableType]
        for part in stated.get("allOf") or ():
            self._merge(merged, part, seen | {reference} if reference else seen)
        merged["properties"] |= stated.get("properties") or {}
        merged["required"] += stated.get("required") or []

    def _object(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        if not properties:
            more: Any = schema.get("additionalProperties")
            values: Any = self.of(more, f"{name}Value", depth) if isinstance(more, Mapping) and more else Any
            return dict[str, values]
        required: Any = schema.get("required") or ()
        fields: dict[str, Any] = {}
        for given, part in ((str(name), part) for name, part in properties.items()):
            plain = _field_name(given, fields)
            kind = self.of(part, f"{name}_{given}", depth)
            alias = None if plain == given else given
            if given in required and not self._is_of_one_side(part):
                fields[plain] = (kind, Field(alias=alias))
            else:
                fields[plain] = (Any if kind is Any else kind | None, Field(default=None, alias=alias))
        return create_model(re.sub(r"\W", "_", name)[:80] or "Object", __base__=Open, **fields)


def _field_name(name: str, taken: Container[str]) -> str:
    """A valid field name: the property's, with a trailing `_` if Python or pydantic uses it."""
    made = re.sub(r"\W", "_", name).strip("_") or "field"
    made = f"field_{made}" if made[0].isdigit() else made
    while made in taken or hasattr(BaseModel, made) or not is_plain_name(made):
        made += "_"
    return made


__all__ = ["Types"]
