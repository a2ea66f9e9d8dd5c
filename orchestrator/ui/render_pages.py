"""Rendering of pages: escaping templates, links, and formats of numbers."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from orchestrator.core.text import abridged, counted, duration, listed, plain, plain_lines, usd
from orchestrator.observability.explain.sentences import kind_words

STATIC: Final = Path(__file__).parent / "static"


def harmless(value: Any) -> Any:
    """Text without control characters and direction marks; markup that is already escaped is unchanged.

    It is applied to every expression of every template, before escaping.
    """
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def shown_time(at: float | None) -> str:
    """A time for people, in this machine's time zone."""
    return "-" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(at: float) -> str:
    """A time in ISO 8601."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(at: float) -> str:
    """How long ago a time is."""
    seconds = max(0.0, time.time() - at)
    if seconds < 1:
        return "now"
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name} ago"
    return f"{int(seconds)} s ago"


def url_token(text: str) -> str:
    """Any text as a form field or a part of an address, byte for byte."""
    return quote(text, safe="")


def run_path(run_id: str, decision: str = "") -> str:
    """The address of a run, or of a decision in it."""
    return f"/runs/{url_token(run_id)}" + (f"/decisions/{url_token(decision)}" if decision else "")


@cache
def version_of(name: str) -> str:
    """A short digest of a static file, for its address."""
    return sha256((STATIC / name).read_bytes()).hexdigest()[:10]


def _listed(names: Iterable[str]) -> str:
    return listed(tuple(plain(name) for name in names))


def _abridged(names: Iterable[str], between: str = " → ") -> str:
    return abridged([plain(name, 60) for name in names], between)


def _number(value: float) -> str:
    return f"{value:.3g}"


def _lines(text: str) -> Markup:
    """Text of several lines, sanitised and escaped."""
    return escape(plain_lines(text))


def _percent(value: float) -> str:
    return f"{value:.0%}" if value < 0.995 or value == 1 else f"{value:.1%}"


@cache
def environment() -> Environment:
    """The template environment."""
    made = Environment(
        loader=PackageLoader("orchestrator.ui"),
        autoescape=True,
        finalize=harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        usd=usd,
        seconds=duration,
        words=kind_words,
        listed=_listed,
        time=shown_time,
        iso=iso,
        ago=ago,
        token=url_token,
        number=_number,
        percent=_percent,
        short=plain,
        abridged=_abridged,
        lines=_lines,
    )
    functions: dict[str, Any] = {"run_path": run_path, "version_of": version_of, "counted": counted}
    made.globals.update(functions)
    return made


def render(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page."""
    return HTMLResponse(environment().get_template(name).render(**values), status_code=status)
