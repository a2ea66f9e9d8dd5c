"""A page of the web: fetched, and a copy kept; the copy alone, when the site is down.

Copies lie in the folder that `deps` name as `pages` (default: the user's cache), under a hash of the address.
"""

import hashlib
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from opentelemetry.propagate import inject
from pydantic import BaseModel, ValidationError

from orchestrator import CallerError, InvalidOutput, Refused, RunContext, Unavailable, tool

MOST_BYTES = 10_000_000
OLDEST_COPY = 30 * 24 * 3600
"""Seconds."""
PAGES = ("text/html", "application/xhtml+xml", "text/plain", "application/xml", "text/xml")
CHARSET = re.compile(rb"<meta[^>]+charset=[\"']?([\w-]+)", re.IGNORECASE)


class Deps(BaseModel):
    """What these tools take from `Orchestrator(deps=...)`."""

    pages: Path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orchestrator" / "pages"


def copy_of(url: str, deps: Any) -> Path:
    """Where the copy of a page lies."""
    try:
        folder = Deps.model_validate({} if deps is None else deps, from_attributes=True).pages
    except ValidationError:
        raise CallerError("deps name as `pages` something that is no folder") from None
    return folder / (hashlib.sha256(url.encode()).hexdigest() + ".html")


def keep(path: Path, html: str) -> None:
    """Put a copy in place, whole or not at all; a disk that is full keeps nobody from reading the page."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as draft:
            draft.write(html)
        os.replace(draft.name, path)


def is_markup(html: str) -> None:
    """Raises `InvalidOutput` for a page without a tag in it."""
    if not re.search(r"<[!a-zA-Z]", html):
        raise InvalidOutput("there is no markup in it")


def decode(raw: bytes, charset: str | None) -> str:
    """A page as text: by its header, by its own word, else as UTF-8."""
    found = CHARSET.search(raw[:2048])
    for name in (charset, found.group(1).decode() if found else None):
        with suppress(LookupError, UnicodeDecodeError):
            if name:
                return raw.decode(name)
    return raw.decode("utf-8", "replace")


@tool(gives="html", ensure=is_markup, latency=1, timeout=60)
async def fetch_web(url: str, ctx: RunContext) -> str:
    """The page at an http(s) address; ten megabytes at most."""
    try:
        import httpx
    except ImportError:
        raise Unavailable("httpx is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    chunks: list[bytes] = []
    headers = {"Accept": ", ".join(PAGES)}
    inject(headers)  # `traceparent` of the attempt, where a tracer records
    async with (
        httpx.AsyncClient(follow_redirects=True, timeout=20) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        if answer.status_code in (401, 402, 403):  # the page wants a login: that says nothing about other pages
            raise Refused(f"the page is not public (HTTP {answer.status_code})")
        answer.raise_for_status()
        kind = answer.headers.get("Content-Type", "text/html").partition(";")[0].strip().lower()
        if kind not in PAGES:
            raise Refused(f"the address leads to {kind}, which is no page")
        async for chunk in answer.aiter_bytes():
            chunks.append(chunk)
            if sum(map(len, chunks)) > MOST_BYTES:
                raise Refused(f"the page has more than {MOST_BYTES} bytes")
    html = decode(b"".join(chunks), answer.charset_encoding)
    keep(copy_of(url, ctx.deps), html)
    return html


@tool(gives="html", latency=0.01, risk=0.2, retries=0)
def cached_page(url: str, ctx: RunContext) -> str:
    """The copy that was kept when the page was last fetched: perhaps out of date, up to thirty days old."""
    path = copy_of(url, ctx.deps)
    try:
        age = time.time() - path.stat().st_mtime
        if age > OLDEST_COPY:
            raise Refused(f"the copy of the page is {age / 86400:.0f} days old")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Refused("no copy of the page was kept") from None
