"""`tools_from_openapi`: the operations of an HTTP API as tools of the graph."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from orchestrator.core.calls.options import checked
from orchestrator.core.context import RunContext
from orchestrator.core.enums import NOT_DONE, Effect
from orchestrator.core.errors import DefinitionError, nearest
from orchestrator.core.types.json_schema import with_signature
from orchestrator.graph.tool import Tool
from orchestrator.graph.tool_options import ToolOptions

from .calling import Api, Secret, call_operation
from .document import Document, Operation, OperationParameter
from .models import Types
from .styles import FORM, MULTIPART, is_json

READS: Final = ("get", "head", "options")
REPEATABLE: Final = ("put", "delete")
"""Methods that may be sent again without harm (RFC 9110, 9.2.2)."""


@checked()
def tools_from_openapi(
    spec: Mapping[str, Any] | str | Path,
    only: Iterable[str] | None = None,
    *,
    base_url: str = "",
    auth: Mapping[str, Secret] | None = None,
    headers: Mapping[str, str] | None = None,
    prefix: str = "",
    needs: Mapping[str, Mapping[str, str]] | None = None,
    gives: Mapping[str, Any] | None = None,
    effects: Mapping[str, str] | None = None,
    idempotency_header: str = "Idempotency-Key",
    timeout: float = 30.0,
    client: httpx.AsyncClient | None = None,
    options: Mapping[str, ToolOptions] | None = None,
) -> list[Tool]:
    """Tools for the operations of an OpenAPI 3.0 or 3.1 description: a mapping, its text, a path or an address.

    `only` names operations by operationId. A tool needs its parameters (the key of a name that has several types is
    `operation.parameter`) and its request body as `operation.body`; it gives a key of its own name. `needs` (operation
    -> parameter -> key) and `gives` (operation -> its `gives`) say otherwise.
    GET reads; PUT and DELETE write and may be repeated; POST and PATCH write, and are repeated only where the operation
    has the idempotency header. `effects` says otherwise. Statuses, `Retry-After` and quota headers are understood.

    Credentials come from environment variables: `auth` maps a security scheme to the name of one (default: the scheme's
    name in capitals) or to a function of the `deps`. `options` are further ones of `Tool`, by operation.
    Raises `DefinitionError` for what is no description, and for unknown operations.
    """
    document = Document(spec)
    operations = {operation.name: operation for operation in document.operations()}
    chosen = list(operations) if only is None else list(only)
    for name in (*chosen, *(needs or {}), *(gives or {}), *(effects or {}), *(options or {})):
        if name not in operations:
            raise DefinitionError(f"The description has no operation {name!r}.{nearest(name, operations)}")
    types = Types(document)
    components: Mapping[str, Any] = document.data.get("components") or {}
    described: Mapping[str, Any] = components.get("securitySchemes") or {}
    schemes = {name: document.resolve(one)[0] for name, one in described.items()}
    _known_schemes(auth or {}, schemes)
    made: list[Tool] = []
    keys = _keys([operations[name] for name in chosen], types)
    for name in chosen:
        operation = operations[name]
        url = base_url or next(iter(operation.servers), "")
        if not url.startswith(("http://", "https://")):
            raise DefinitionError(f"The description does not say where {name!r} is: give base_url='https://...'.")
        api = Api(url, schemes, dict(auth or {}), dict(headers or {}), timeout, client)
        own: ToolOptions = {"name": prefix + name, "gives": _gives(types, operation, prefix, (gives or {}).get(name))}
        if name in (effects or {}):
            own["effect"] = (effects or {})[name]
        merged: ToolOptions = {**own, **(options or {}).get(name, {})}
        made.append(
            _tool(api, operation, types, merged, {**keys[name], **(needs or {}).get(name, {})}, idempotency_header)
        )
    return made


def _keys(operations: list[Operation], types: Types) -> dict[str, dict[str, str]]:
    """Operation -> parameter -> key: the parameter's name where every operation gives it the same type, else
    `operation.parameter`; a request body is always `operation.body`.
    """
    found: dict[str, list[Any]] = {}
    for operation in operations:
        for p in operation.parameters:
            found.setdefault(p.label, []).append(_type_of(types, operation, p, p.label))
    shared = {name for name, kinds in found.items() if all(kind == kinds[0] for kind in kinds)}
    shared -= {operation.name for operation in operations}
    return {
        operation.name: {
            p.label: p.label if p.label in shared and p.where != "body" else f"{operation.name}.{p.label}"
            for p in operation.parameters
        }
        for operation in operations
    }


def _tool(
    api: Api, operation: Operation, types: Types, options: ToolOptions, needs: Mapping[str, str], header: str
) -> Tool:
    named = {p.label: p for p in operation.parameters}
    keyed = next((p for p in operation.parameters if p.where == "header" and p.name.lower() == header.lower()), None)
    takes = {
        p.label: _type_of(types, operation, p, f"{operation.name}_{p.label}")
        for p in operation.parameters
        if p is not keyed
    }
    required = [name for name in takes if named[name].required]
    for parameter in needs:
        if parameter not in named:
            has = nearest(parameter, takes)
            raise DefinitionError(f"The operation {operation.name!r} has no parameter {parameter!r}.{has}")
    method = operation.method
    effect = Effect.READ if method in READS else Effect.WRITE

    async def work(ctx: RunContext[Any] | None, inputs: dict[str, Any]) -> Any:
        key = (keyed.name, ctx.idempotency_key) if keyed is not None and ctx is not None else None
        return await call_operation(api, operation, ctx, inputs, key)

    defaults: ToolOptions = {"description": operation.description, "effect": effect, "timeout": api.timeout + 5}
    writes = options.get("effect", effect) != Effect.READ
    if writes and (method in REPEATABLE or (keyed is not None and effect is Effect.WRITE)):
        defaults["reconcile"] = _send_again
    mapping = {p: needs[p] for p in takes}
    merged: ToolOptions = {**defaults, "needs": mapping, **options}
    return Tool(with_signature(work, operation.name, takes, required), **merged)


def _gives(types: Types, operation: Operation, prefix: str, stated: Any) -> Any:
    """The key of the answer, with the type of the response where the user does not say."""
    if isinstance(stated, Mapping):
        return stated  # pyright: ignore[reportUnknownVariableType]
    key = stated if isinstance(stated, str) else prefix + operation.name
    schema = operation.response
    kind: Any = Any if schema is None else types.of(schema, f"{operation.name}_response")
    return {key: kind | None if operation.may_be_empty and kind is not Any else kind}


def _type_of(types: Types, operation: Operation, parameter: OperationParameter, name: str) -> Any:
    """The type of a parameter; of a body that is neither JSON nor a form, text or bytes."""
    kind = operation.body_kind
    if parameter.where != "body" or is_json(kind) or kind in (FORM, MULTIPART) or "*" in kind:
        return types.of(parameter.schema, name)
    return str if kind.startswith("text/") else str | bytes


def _send_again(**inputs: Any) -> Any:
    """Whether it happened does not matter: it may be sent again."""
    del inputs
    return NOT_DONE


def _known_schemes(auth: Mapping[str, Secret], schemes: Mapping[str, Any]) -> None:
    for name in auth:
        if name not in schemes:
            raise DefinitionError(f"auth= names {name!r}; the description has no such scheme.{nearest(name, schemes)}")


__all__ = ["tools_from_openapi"]
