"""A brief as an HTML page: written whole or not at all, and taken away again when it is not wanted."""

import os
import re
import tempfile
from html import escape
from pathlib import Path
from typing import Any

from orchestrator import NOT_DONE, tool

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}
small {{ color: #666 }}
</style>
<h1>{title}</h1>
<p><small>{source}, {kind}, {words} words</small></p>
<p>{summary}</p>
<p><small>{keywords}</small></p>
</html>
"""


def render(brief: Any) -> str:
    """The brief as a page; what comes from the document is escaped."""
    return PAGE.format(
        title=harmless(brief.title),
        source=harmless(brief.source),
        kind=harmless(brief.kind),
        words=int(brief.words),
        summary=harmless(brief.summary),
        keywords=harmless(", ".join(brief.keywords)),
    )


def harmless(text: str) -> str:
    """Text in one line, without control characters and with HTML's own characters as entities."""
    flat = " ".join(text.split())
    return escape("".join(character for character in flat if character.isprintable()))


def path_of(brief: Any, out_dir: Path) -> Path:
    """Where the page of a source lies."""
    return out_dir / (re.sub(r"[^\w.-]", "_", brief.source) + ".html")


def find(brief: Any, out_dir: Path) -> Any:
    """The path, when a page with just this content lies there."""
    path = path_of(brief, out_dir)
    there = path.is_file() and path.read_text(encoding="utf-8") == render(brief)
    return path if there else NOT_DONE


def remove(path: Path) -> None:
    """Take the page away again."""
    path.unlink(missing_ok=True)


@tool(gives="brief_html", effect="write", reconcile=find, compensate=remove, latency=0.01)
def write_html(brief: Any, out_dir: Path) -> Path:
    """Write the page into `out_dir`."""
    out_dir.mkdir(parents=True, exist_ok=True)
    path = path_of(brief, out_dir)
    with tempfile.NamedTemporaryFile("w", dir=out_dir, prefix=".draft-", delete=False, encoding="utf-8") as draft:
        try:
            draft.write(render(brief))
            draft.close()
            os.replace(draft.name, path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
    return path
