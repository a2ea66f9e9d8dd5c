"""Reads an OpenAPI 3.0 or 3.1 description: the document, its references, its operations."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.extras import missing_extra

METHODS: Final = ("get", "head", "options", "put", "post", "patch", "delete")
_BODY_KINDS: Final = ("application/json", "application/x-www-form-urlencoded")


@dataclass(frozen=True)
class OperationParameter:
    """One parameter of an operation: its name, where it goes, its schema."""

    name: str
    where: str
    """path, query, header, cookie or body."""
    schema: Mapping[str, Any]
    required: bool
    explode: bool = True


@dataclass(frozen=True)
class Operation:
    """One operation as the description states it."""

    name: str
    method: str
    path: str
    description: str
    parameters: tuple[OperationParameter, ...]
    body_kind: str
    response: Mapping[str, Any] | None
    """Schema of the JSON that a success answers with."""
    security: tuple[Mapping[str, Any], ...]
    servers: tuple[str, ...]


class Document:
    """An OpenAPI description. Raises `DefinitionError` for anything else."""

    def __init__(self, spec: Any) -> None:
        self.data: Mapping[str, Any] = _loaded(spec)
        version = str(self.data.get("openapi", ""))
        if not version.startswith("3."):
            described = f"version {version or self.data.get('swagger')!r}" if self.data else "no object"
            raise DefinitionError(f"tools_from_openapi takes an OpenAPI 3.0 or 3.1 description, not {described}.")

    def resolve(self, node: Any) -> tuple[Any, str]:
        """What a node says, references followed, and the last reference; external ones are not followed."""
        last = ""
        for _ in range(32):
            if not (isinstance(node, Mapping) and isinstance(node.get("$ref"), str)):  # pyright: ignore[reportUnknownMemberType]
                return node, last  # pyright: ignore[reportUnknownVariableType]
            last = str(node["$ref"])  # pyright: ignore[reportUnknownArgumentType]
            node = self._at(last)
        return {}, last

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return {}
        node: Any = self.data
        for part in reference[2:].split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            node = node.get(part) if isinstance(node, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if node is None:
                raise DefinitionError(f"The description refers to {reference!r}, which it does not hold.")
        return node  # pyright: ignore[reportUnknownVariableType]

    def operations(self) -> Iterator[Operation]:
        """Every operation, in the order of the document."""
        taken: set[str] = set()
        paths: Mapping[str, Any] = self.data.get("paths") or {}
        for path, stated in paths.items():
            item, _ = self.resolve(stated)
            for method in METHODS:
                if isinstance(item, Mapping) and isinstance(item.get(method), Mapping):  # pyright: ignore[reportUnknownMemberType]
                    made = self._operation(path, method, item, item[method])  # pyright: ignore[reportUnknownArgumentType]
                    number = 2
                    while made.name in taken:
                        made = replace(made, name=f"{made.name}_{number}")
                        number += 1
                    taken.add(made.name)
                    yield made

    def _operation(self, path: str, method: str, item: Mapping[str, Any], stated: Mapping[str, Any]) -> Operation:
        listed = [self.resolve(each)[0] for each in (*item.get("parameters", ()), *stated.get("parameters", ()))]
        objects = [cast("Mapping[str, Any]", each) for each in listed if isinstance(each, Mapping)]
        found = {(p["name"], p.get("in", "query")): p for p in objects if "name" in p}
        parameters = [
            OperationParameter(
                name, where, _schema_of(p), bool(p.get("required")) or where == "path", p.get("explode", True)
            )
            for (name, where), p in found.items()
        ]
        body, kind = self._body(stated)
        return Operation(
            name=re.sub(r"[^A-Za-z0-9-]+", "_", str(stated.get("operationId") or f"{method}_{path}")).strip("_"),
            method=method,
            path=path,
            description=str(stated.get("summary") or stated.get("description") or f"{method.upper()} {path}"),
            parameters=(*parameters, *([body] if body else [])),
            body_kind=kind,
            response=self._response(stated),
            security=tuple(stated.get("security", self.data.get("security", ()))),
            servers=tuple(map(_url, stated.get("servers") or item.get("servers") or self.data.get("servers") or ())),
        )

    def _body(self, stated: Mapping[str, Any]) -> tuple[OperationParameter | None, str]:
        body = _mapping(self.resolve(stated.get("requestBody"))[0])
        content = _mapping(body.get("content", {}))
        for kind in (*_BODY_KINDS, *content):
            if kind in content:
                schema = _mapping(content[kind]).get("schema", {})
                return OperationParameter("body", "body", schema, bool(body.get("required"))), kind
        return None, ""

    def _response(self, stated: Mapping[str, Any]) -> Mapping[str, Any] | None:
        responses: Mapping[str, Any] = stated.get("responses") or {}
        for status in sorted(responses, key=str):
            if str(status).startswith("2") or status == "default":
                answer = _mapping(self.resolve(responses[status])[0])
                for kind, media in _mapping(answer.get("content")).items():
                    if "json" in kind and isinstance(media, Mapping):
                        return cast("Mapping[str, Any]", media).get("schema")
        return None


def _mapping(node: Any) -> Mapping[str, Any]:
    """A node that is an object; an empty one for anything else."""
    return cast("Mapping[str, Any]", node) if isinstance(node, Mapping) else dict[str, Any]()


def _schema_of(parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    if "schema" in parameter:
        return parameter["schema"] or {}
    content: Mapping[str, Any] = parameter.get("content", {})
    found: Mapping[str, Any] = _mapping(next(iter(content.values()), None)).get("schema", {})
    return found


def _url(server: Mapping[str, Any]) -> str:
    url = str(server.get("url", ""))
    variables: Mapping[str, Any] = server.get("variables") or {}
    for name, variable in variables.items():
        url = url.replace("{" + name + "}", str(variable.get("default", "")))
    return url


def _loaded(spec: Any) -> Mapping[str, Any]:
    if isinstance(spec, Mapping):
        return spec  # pyright: ignore[reportUnknownVariableType]
    if isinstance(spec, str) and spec.startswith(("http://", "https://")):
        import httpx

        text = httpx.get(spec, follow_redirects=True, timeout=30).raise_for_status().text
    elif isinstance(spec, Path) or (isinstance(spec, str) and "\n" not in spec and not spec.lstrip().startswith("{")):
        path = Path(spec).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise DefinitionError(f"The OpenAPI description {path} cannot be read: {error.strerror}") from None
    else:
        text = str(spec)
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = _yaml(text)
    return found if isinstance(found, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise DefinitionError(missing_extra("An OpenAPI description in YAML", "pyyaml", "http")) from None
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise DefinitionError(f"The OpenAPI description is neither JSON nor YAML: {error}") from None


__all__ = ["Document", "Operation", "OperationParameter"]
