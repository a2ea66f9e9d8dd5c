"""Configuration of a gateway: the `mcpServers` JSON of a client, and a TOML file of alternatives and effects."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.core.enums import Effect
from orchestrator.core.errors import DefinitionError, nearest
from orchestrator.core.policy import Settings
from orchestrator.core.types.schema import explain
from orchestrator.integrations.alternatives import FallbackTool, read_alternatives

_VARIABLE: Final = re.compile(r"\$\{(?:env:|(input:))?([A-Za-z_][A-Za-z0-9_-]*)(?::-([^}]*))?\}")


class ServerEntry(BaseModel):
    """One server of the JSON file; unknown fields are ignored, because other programs use them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None
    url: str = Field(default="")
    headers: dict[str, str] = Field(default_factory=dict)
    disabled: bool = False


class Rules(Settings):
    """The TOML file: every table is optional; an unknown one is an error that names the nearest."""

    trust: tuple[str, ...] = ()
    """Servers whose annotations (read-only, idempotent) are trusted."""
    timeout: float = Field(default=30.0, gt=0)
    """Time-out in seconds for opening a session and for each response."""
    effects: dict[str, Effect] = Field(default_factory=dict)
    """Tool -> read, write or irreversible."""
    alternatives: dict[str, Any] = Field(default_factory=dict)
    """Tool -> its alternatives: names, or tables `{tool = "...", arguments = {theirs = "ours"}}`."""
    approval: tuple[str, ...] = ()
    """Tools that a person approves before each call."""


class GatewayConfig(BaseModel):
    """Both files together."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    servers: dict[str, ServerEntry]
    rules: Rules = Rules()

    @property
    def alternatives(self) -> dict[str, list[FallbackTool]]:
        """Tool -> its alternatives. Raises `DefinitionError`."""
        stated = {name: [_item(one) for one in _listed(listed)] for name, listed in self.rules.alternatives.items()}
        return read_alternatives(stated)[0]


def _listed(listed: Any) -> list[Any]:
    return listed if isinstance(listed, list) else [listed]  # pyright: ignore[reportUnknownVariableType]


def _item(one: Any) -> Any:
    if isinstance(one, Mapping):
        table: Mapping[str, Any] = one  # pyright: ignore[reportUnknownVariableType]
        unknown = sorted(set(table) - {"tool", "arguments"})
        if unknown or "tool" not in table:
            raise DefinitionError(f"An alternative is {{tool = '...', arguments = {{theirs = 'ours'}}}}, not {one!r}.")
        return (table["tool"], table.get("arguments"))
    return one


def load_config(file: str | Path, rules: str | Path | None = None) -> GatewayConfig:
    """Read a gateway's files; by default `rules` is the `.toml` file of the same name, if it exists.

    `${NAME}` and `${env:NAME}` in values are environment variables, and so is `${input:my-key}`: `MY_KEY`. Raises
    `DefinitionError` naming file and place.
    """
    path = Path(file).expanduser()
    beside = path.with_suffix(".toml")
    named = Path(rules).expanduser() if rules is not None else beside if beside.is_file() else None
    found = _json(path)
    servers: Any = found.get("mcpServers", found.get("servers"))
    if not isinstance(servers, Mapping) or not servers:
        raise DefinitionError(f"{path} holds no servers: it needs an object mcpServers with one entry per server.")
    config = GatewayConfig(
        servers={str(name): _entry(path, str(name), entry) for name, entry in servers.items()},  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        rules=Rules() if named is None else _rules(named),
    )
    for name in config.rules.trust:
        if name not in config.servers:
            raise DefinitionError(f"{named}: trust names {name!r}; {path} has no such server.{nearest(name, servers)}")  # pyright: ignore[reportUnknownArgumentType]
    for name, entry in config.servers.items():
        if bool(entry.command) == bool(entry.url):
            stated = [str(word) for word in cast("Mapping[str, Any]", servers[name])]
            hint = next(filter(None, (nearest(word, ("command", "url")) for word in stated)), "")
            raise DefinitionError(f"{path}: the server {name!r} has either a command or a url.{hint}")
    return config


def _entry(path: Path, name: str, stated: Any) -> ServerEntry:
    if not isinstance(stated, Mapping):
        raise DefinitionError(f"{path}: the server {name!r} is an object with a command or a url.")
    if not isinstance(stated.get("args", []), list):  # pyright: ignore[reportUnknownMemberType]
        raise DefinitionError(f"{path}: args of the server {name!r} is a list, one entry for each argument.")
    try:
        return ServerEntry(**_filled(path, stated))  # pyright: ignore[reportUnknownArgumentType]
    except ValidationError as error:
        raise DefinitionError(f"{path}: the server {name!r}: {explain(error)}") from None


def _rules(path: Path) -> Rules:
    try:
        return Rules(**_toml(path))
    except DefinitionError as error:
        message = str(error).replace("Rules: ", "")
        raise DefinitionError(message if str(path) in message else f"{path}: {message}") from None


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DefinitionError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DefinitionError(f"{path} is no JSON: {error}") from None
    return found if isinstance(found, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DefinitionError(f"{path} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{path} is no TOML: {error}") from None


def _filled(path: Path, value: Any) -> Any:
    """A value with its environment variables."""
    if isinstance(value, Mapping):
        return {str(name): _filled(path, each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [_filled(path, each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, str):
        return value

    def variable(found: re.Match[str]) -> str:
        name = re.sub(r"\W", "_", found[2]).upper() if found[1] else found[2]
        given = os.environ.get(name, cast("str | None", found[3]))
        if given is None:
            why = f"for {found[0]}, which a client asks a person for, " if found[1] else ""
            raise DefinitionError(f"{path} needs {why}the environment variable {name}, which is not set.")
        return given

    return _VARIABLE.sub(variable, value)


__all__ = ["GatewayConfig", "Rules", "ServerEntry", "load_config"]
