"""Reads an OpenAPI 3.0 or 3.1 description: the document, its references, its operations."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urljoin

from orchestrator.core.errors import DefinitionError
from orchestrator.core.process.installation import missing_extra

METHODS: Final = ("get", "head", "options", "put", "post", "patch", "delete")
_BODY_KINDS: Final = ("application/json", "application/x-www-form-urlencoded")
_STYLES: Final = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}
_IGNORED: Final = ("accept", "content-type", "authorization")
"""Headers that OpenAPI excludes from parameters."""


@dataclass(frozen=True)
class OperationParameter:
    """One parameter of an operation: its name, where it goes, its schema."""

    name: str
    where: str
    """path, query, header, cookie or body."""
    schema: Mapping[str, Any]
    required: bool
    style: str = ""
    explode: bool = False
    is_json: bool = False
    """Whether it is written as JSON, whatever the style."""
    argument: str = ""
    """The name of the tool's parameter if its own is taken: `id_query` beside an `id` in the path."""

    @property
    def label(self) -> str:
        """The name of the tool's parameter."""
        return self.argument or self.name


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
    """Schema of the JSON of a successful response."""
    security: tuple[Mapping[str, Any], ...]
    servers: tuple[str, ...]
    encoding: Mapping[str, Any]
    """How fields of a form are written."""
    may_be_empty: bool
    """Whether a successful response may be empty, such as 204."""


class Document:
    """An OpenAPI description. Raises `DefinitionError` for anything else."""

    def __init__(self, spec: Any) -> None:
        self.data: Mapping[str, Any] = _loaded(spec)
        self._address = spec if _is_address(spec) else ""
        version = str(self.data.get("openapi", ""))
        if not version.startswith("3."):
            described = f"version {version or self.data.get('swagger')!r}" if self.data else "no object"
            raise DefinitionError(f"tools_from_openapi takes an OpenAPI 3.0 or 3.1 description, not {described}.")

    def resolve(self, node: Any) -> tuple[Any, str]:
        """A node with references followed, and the last reference; external ones are not followed."""
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
            part = unquote(part).replace("~1", "/").replace("~0", "~")
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
        given = (*(item.get("parameters") or ()), *(stated.get("parameters") or ()))
        listed = [self.resolve(each)[0] for each in given]
        objects = [cast("Mapping[str, Any]", each) for each in listed if isinstance(each, Mapping)]
        found = {(str(p["name"]), str(p.get("in", "query"))): p for p in objects if "name" in p}
        parameters = [
            _parameter(name, where, p)
            for (name, where), p in found.items()
            if where != "header" or name.lower() not in _IGNORED
        ]
        body, kind, encoding = self._body(stated)
        plain = re.sub(r"[^A-Za-z0-9-]+", "_", str(stated.get("operationId") or "")).strip("_")
        response, empty = self._response(stated)
        security: Any = stated.get("security", self.data.get("security"))
        return Operation(
            name=plain or re.sub(r"[^A-Za-z0-9-]+", "_", f"{method}_{path}").strip("_"),
            method=method,
            path=path,
            description=str(stated.get("summary") or stated.get("description") or f"{method.upper()} {path}"),
            parameters=_with_distinct_names([*parameters, *([body] if body else [])]),
            body_kind=kind,
            response=response,
            security=tuple(security or ()),
            servers=self._servers(stated.get("servers") or item.get("servers") or self.data.get("servers") or ()),
            encoding=encoding,
            may_be_empty=empty,
        )

    def _servers(self, stated: Any) -> tuple[str, ...]:
        """The addresses of servers; relative ones are resolved against the address of the description."""
        urls = [_url(server) for server in stated] or ["/"]
        return tuple(urljoin(self._address, url) if self._address else url for url in urls)

    def _body(self, stated: Mapping[str, Any]) -> tuple[OperationParameter | None, str, Mapping[str, Any]]:
        body = _mapping(self.resolve(stated.get("requestBody"))[0])
        content = _mapping(body.get("content", {}))
        for kind in (*_BODY_KINDS, *content):
            if kind in content:
                media = _mapping(content[kind])
                schema = _mapping(media.get("schema", {}))
                parameter = OperationParameter("body", "body", schema, required=bool(body.get("required")))
                return parameter, kind, _mapping(media.get("encoding"))
        return None, "", {}

    def _response(self, stated: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
        """The schema of a success, and whether another success answers with nothing."""
        responses: Mapping[Any, Any] = stated.get("responses") or {}
        found: Mapping[str, Any] | None = None
        empty = False
        for status in sorted(responses, key=str):
            if str(status).startswith("2") or status == "default":
                content = _mapping(_mapping(self.resolve(responses[status])[0]).get("content"))
                empty = empty or (not content and status != "default")
                for kind, media in content.items():
                    if found is None and "json" in kind and isinstance(media, Mapping):
                        found = cast("Mapping[str, Any]", media).get("schema")
        return found, empty


def _mapping(node: Any) -> Mapping[str, Any]:
    """A node that is an object; an empty one for anything else."""
    return cast("Mapping[str, Any]", node) if isinstance(node, Mapping) else dict[str, Any]()


def _parameter(name: str, where: str, stated: Mapping[str, Any]) -> OperationParameter:
    style = str(stated.get("style") or _STYLES.get(where, "form"))
    content = _mapping(stated.get("content"))
    as_json = "schema" not in stated and any("json" in kind for kind in content)
    first = _mapping(next(iter(content.values()), None))
    return OperationParameter(
        name,
        where,
        _mapping(stated["schema"] if "schema" in stated else first.get("schema")),
        required=bool(stated.get("required")) or where == "path",
        style=style,
        explode=bool(stated.get("explode", style == "form")),
        is_json=as_json,
    )


def _with_distinct_names(parameters: list[OperationParameter]) -> tuple[OperationParameter, ...]:
    """Parameters with unique names: those in the body or the path keep their names, others get a suffix with their
    place.
    """
    order = ("body", "path", "query", "header", "cookie")
    taken: set[str] = set()
    named: dict[int, OperationParameter] = {}
    for n in sorted(range(len(parameters)), key=lambda n: order.index(w) if (w := parameters[n].where) in order else 9):
        one = parameters[n]
        label = one.name
        while label in taken:
            label = f"{label}_{one.where}"
        taken.add(label)
        named[n] = one if label == one.name else replace(one, argument=label)
    return tuple(named[n] for n in range(len(parameters)))


def _url(server: Mapping[str, Any]) -> str:
    url = str(server.get("url", ""))
    variables: Mapping[str, Any] = server.get("variables") or {}
    for name, variable in variables.items():
        url = url.replace("{" + name + "}", str(variable.get("default", "")))
    return url


def _is_address(spec: Any) -> bool:
    return isinstance(spec, str) and spec.startswith(("http://", "https://"))


def _loaded(spec: Any) -> Mapping[str, Any]:
    if isinstance(spec, Mapping):
        return spec  # pyright: ignore[reportUnknownVariableType]
    if _is_address(spec):
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
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, Loader=_of_json(base))
    except yaml.YAMLError as error:
        raise DefinitionError(f"The OpenAPI description is neither JSON nor YAML: {error}") from None


def _of_json(base: Any) -> Any:
    """A loader that reads the values of JSON alone, as OpenAPI asks: `on`, `no` and dates are texts."""
    dropped = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    kept = {
        first: [rule for rule in rules if rule[0] not in dropped]
        for first, rules in base.yaml_implicit_resolvers.items()
    }
    loader: Any = type("JsonLoader", (base,), {"yaml_implicit_resolvers": kept})
    loader.add_implicit_resolver(dropped[0], re.compile(r"^(?:true|false|True|False|TRUE|FALSE)$"), list("tTfF"))
    return loader


__all__ = ["Document", "Operation", "OperationParameter"]
