"""One HTTP call of an operation: its arguments, credentials, and the meaning of its response."""

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import httpx
from opentelemetry.propagate import inject

from orchestrator.core.context import RunContext
from orchestrator.core.errors import CallerError, InvalidOutput

from .document import Operation
from .styles import in_body, in_cookie, in_header, in_path, in_query, plain_value, text

MAX_REDIRECTS: Final = 10
MAX_WORDS: Final = 300
"""Maximum characters of a server's text in an error."""
Secret = str | Callable[[Any], str]
"""The name of an environment variable, or a function of the `deps`."""


@dataclass(frozen=True)
class Api:
    """The shared settings of the calls of one API."""

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
    """The body of the response: JSON as data, text, else bytes. `key`: the idempotency header and its value.

    Raises `httpx.HTTPStatusError` for statuses of 400 and above, and what httpx raises for the rest.
    """
    request, secret = _request(api, operation, inputs, None if ctx is None else ctx.deps)
    if key is not None:
        request["headers"][key[0]] = key[1]
    inject(request["headers"])  # `traceparent` of the attempt, where a tracer records
    if api.client is not None:
        response = await api.client.request(**request, timeout=api.timeout)
    else:
        async with httpx.AsyncClient(timeout=api.timeout) as client:
            response = await client.request(**request)
            if operation.method == "get":
                response = await _followed(client, response, secret)
    if ctx is not None:
        ctx.quota_headers(dict(response.headers))
    if not response.is_success:
        raise httpx.HTTPStatusError(_error_text(operation, response), request=response.request, response=response)
    return _body_of(response)


async def _followed(client: httpx.AsyncClient, response: httpx.Response, secret: set[str]) -> httpx.Response:
    """Follow redirects. Headers with secrets are not sent to another origin."""
    for _ in range(MAX_REDIRECTS):
        following = response.next_request
        if following is None:
            break
        here, there = response.request.url, following.url
        if (here.scheme, here.host, here.port) != (there.scheme, there.host, there.port):
            for name in secret & set(following.headers):
                del following.headers[name]
        response = await client.send(following)
    return response


def _error_text(operation: Operation, response: httpx.Response) -> str:
    """The error of a response with the server's text, without the URL, which may contain a secret."""
    summary = f"{operation.method.upper()} {operation.path}: {response.status_code} {response.reason_phrase}".rstrip()
    words = _words(response)
    return f"{summary}: {words[:MAX_WORDS]}" if words else summary


def _words(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "")
    try:
        body: Any = response.json() if "json" in kind else None
    except ValueError:
        return ""
    if isinstance(body, Mapping):
        stated: Mapping[str, Any] = body  # pyright: ignore[reportUnknownVariableType]
        body = next((stated[name] for name in ("detail", "message", "error", "title") if stated.get(name)), None)
    if body is not None:
        return text(body)
    return response.text.strip() if kind.startswith("text/plain") else ""


def _request(api: Api, operation: Operation, inputs: Mapping[str, Any], deps: Any) -> tuple[dict[str, Any], set[str]]:
    """The options of `httpx` for a request, and the names of the headers with secrets, in lower case."""
    made: dict[str, Any] = {"method": operation.method.upper(), "params": [], "headers": dict(api.headers)}
    cookies: dict[str, str] = {}
    filled: dict[str, str] = {}
    for parameter in operation.parameters:
        if inputs.get(parameter.label) is None:
            continue
        value = plain_value(inputs[parameter.label])
        match parameter.where:
            case "path":
                filled[parameter.name] = in_path(parameter, value)
            case "query":
                made["params"] += in_query(parameter, value)
            case "header":
                made["headers"][parameter.name] = in_header(parameter, value)
            case "cookie":
                cookies[parameter.name] = in_cookie(parameter, value)
            case _:
                body = in_body(operation.body_kind, value, operation.encoding)
                made["headers"] |= body.pop("headers", {})
                made |= body
    url, _, fixed = (api.base_url.rstrip("/") + _path(operation, filled)).partition("?")
    made["url"] = url
    made["params"] = parse_qsl(fixed, keep_blank_values=True) + made["params"]
    before = set(made["headers"]) - set(api.headers)
    _sign(api, operation, deps, made, cookies)
    if cookies:
        made["headers"]["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return made, {name.lower() for name in made["headers"] if name not in before}


def _path(operation: Operation, filled: Mapping[str, str]) -> str:
    """The path with its parameters. Raises `CallerError` for a value that makes it another path."""
    parts: list[str] = []
    for part in operation.path.split("/"):
        made = re.sub(r"\{([^{}]*)\}", lambda match: filled.get(match[1], match[0]), part)
        if made != part and made in ("", ".", ".."):
            raise CallerError(f"{operation.name}: {made!r} cannot stand for {part} in {operation.path}.")
        parts.append(made)
    return "/".join(parts)


def _sign(api: Api, operation: Operation, deps: Any, made: dict[str, Any], cookies: dict[str, str]) -> None:
    """Add the credentials of the first security alternative of the operation for which every secret is available.

    An empty alternative means that none is needed; an available credential is sent all the same.
    """
    missing: list[str] = []
    for alternative in filter(None, operation.security):
        secrets = {name: _secret(api, name, deps) for name in alternative}
        lacking = [name for name, secret in secrets.items() if secret is None]
        if not lacking:
            for name, secret in secrets.items():
                _apply(api.schemes.get(name, {}), str(secret), made, cookies)
            return
        missing += lacking
    if not missing or {} in operation.security:
        return
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
            (made["headers"] if place == "header" else cookies).update(
                {name: secret if place == "header" else quote(secret)}
            )
    elif kind == "http" and str(scheme.get("scheme", "")).lower() == "basic":
        made["headers"]["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    else:
        named = str(scheme.get("scheme") or "bearer") if kind == "http" else "bearer"
        made["headers"]["Authorization"] = f"{named.capitalize() if named.islower() else named} {secret}"


def _body_of(response: httpx.Response) -> Any:
    kind = response.headers.get("content-type", "")
    if not response.content:
        return None
    if "json" in kind:
        try:
            return response.json()
        except ValueError as error:
            raise InvalidOutput(f"the answer says that it is JSON, and is not: {error}") from None
    return response.text if kind.startswith("text/") or "xml" in kind else response.content


__all__ = ["Api", "Secret", "call_operation", "variable_of"]
