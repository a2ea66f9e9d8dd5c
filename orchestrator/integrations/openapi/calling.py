"""One HTTP call of an operation: where its arguments go, who it comes from, and what its answer means."""

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from opentelemetry.propagate import inject
from pydantic_core import to_jsonable_python

from orchestrator.core.context import RunContext
from orchestrator.core.errors import CallerError

from .document import Operation, OperationParameter

Secret = str | Callable[[Any], str]
"""The name of an environment variable, or a function of the `deps`."""


@dataclass(frozen=True)
class Api:
    """What the calls of one API share."""

    base_url: str
    schemes: Mapping[str, Mapping[str, Any]]
    """The security schemes of the description."""
    auth: Mapping[str, Secret]
    headers: Mapping[str, str]
    timeout: float
    client: httpx.AsyncClient | None


async def call_operation(
    api: Api, operation: Operation, ctx: RunContext[Any] | None, inputs: Mapping[str, Any], key: tuple[str, str] | None
) -> Any:
    """The body of the answer: JSON as data, text, else bytes. `key` is the idempotency header and its value.

    Raises `httpx.HTTPStatusError` for statuses of 400 and above, and what httpx raises for the rest.
    """
    request = _request(api, operation, inputs, None if ctx is None else ctx.deps)
    if key is not None:
        request["headers"][key[0]] = key[1]
    inject(request["headers"])  # `traceparent` of the attempt, where a tracer records
    if api.client is not None:
        response = await api.client.request(**request, timeout=api.timeout)
    else:
        async with httpx.AsyncClient(timeout=api.timeout, follow_redirects=operation.method == "get") as client:
            response = await client.request(**request)
    if ctx is not None:
        ctx.quota_headers(dict(response.headers))
    response.raise_for_status()
    return _body_of(response)


def _request(api: Api, operation: Operation, inputs: Mapping[str, Any], deps: Any) -> dict[str, Any]:
    path = operation.path
    made: dict[str, Any] = {"method": operation.method.upper(), "params": [], "headers": dict(api.headers)}
    cookies: dict[str, str] = {}
    for parameter in operation.parameters:
        if inputs.get(parameter.name) is None:
            continue
        value = to_jsonable_python(inputs[parameter.name], by_alias=True, exclude_none=True)
        match parameter.where:
            case "path":
                path = path.replace("{" + parameter.name + "}", quote(_text(value), safe=""))
            case "query":
                made["params"] += _query(parameter, value)
            case "header":
                made["headers"][parameter.name] = _text(value)
            case "cookie":
                cookies[parameter.name] = _text(value)
            case _:
                made |= _content(operation.body_kind, value)
    made["url"] = api.base_url.rstrip("/") + path
    _sign(api, operation, deps, made, cookies)
    if cookies:
        made["headers"]["Cookie"] = "; ".join(f"{name}={quote(value)}" for name, value in cookies.items())
    return made


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(_text, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _query(parameter: OperationParameter, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [(str(name), _text(each)) for name, each in value.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list) and parameter.explode:
        return [(parameter.name, _text(each)) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return [(parameter.name, _text(value))]


def _content(kind: str, value: Any) -> dict[str, Any]:
    if "json" in kind:
        return {"json": value}
    if kind == "application/x-www-form-urlencoded" and isinstance(value, Mapping):
        return {"data": {str(name): _text(each) for name, each in value.items()}}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return {"content": value if isinstance(value, bytes) else _text(value)}


def _sign(api: Api, operation: Operation, deps: Any, made: dict[str, Any], cookies: dict[str, str]) -> None:
    """Add the first alternative of the operation's security for which every secret is at hand."""
    if not operation.security or {} in operation.security:
        return
    missing: list[str] = []
    for alternative in operation.security:
        secrets = {name: _secret(api, name, deps) for name in alternative}
        lacking = [name for name, secret in secrets.items() if secret is None]
        if not lacking:
            for name, secret in secrets.items():
                _apply(api.schemes.get(name, {}), str(secret), made, cookies)
            return
        missing += lacking
    name = missing[0]
    raise CallerError(
        f"{operation.name} needs the credential {name!r}: set the environment variable {variable_of(api, name)}, "
        f"or give auth={{{name!r}: lambda deps: ...}}."
    )


def variable_of(api: Api, name: str) -> str:
    """The environment variable of a security scheme."""
    stated = api.auth.get(name)
    return stated if isinstance(stated, str) else "".join(c if c.isalnum() else "_" for c in name).upper()


def _secret(api: Api, name: str, deps: Any) -> str | None:
    stated = api.auth.get(name)
    if callable(stated):
        return stated(deps)
    return os.environ.get(variable_of(api, name)) or None


def _apply(scheme: Mapping[str, Any], secret: str, made: dict[str, Any], cookies: dict[str, str]) -> None:
    kind, name = scheme.get("type"), str(scheme.get("name", ""))
    if kind == "apiKey":
        place = scheme.get("in")
        if place == "query":
            made["params"].append((name, secret))
        else:
            (made["headers"] if place == "header" else cookies)[name] = secret
    elif kind == "http" and str(scheme.get("scheme", "")).lower() == "basic":
        made["headers"]["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    else:
        made["headers"]["Authorization"] = f"Bearer {secret}"


def _body_of(response: httpx.Response) -> Any:
    kind = response.headers.get("content-type", "")
    if not response.content:
        return None
    if "json" in kind:
        return response.json()
    return response.text if kind.startswith("text/") or "xml" in kind else response.content


__all__ = ["Api", "Secret", "call_operation", "variable_of"]
