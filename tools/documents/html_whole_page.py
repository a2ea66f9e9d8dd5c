"""All visible text of an HTML page by lxml: less choosy than an article extractor, so menus may come along."""

from pathlib import Path
from typing import Any

from orchestrator import Refused
from orchestrator.integrations.documents import Reading, decode_markup, reader
from orchestrator.integrations.documents.archive import read_bytes
from orchestrator.integrations.documents.markup import markup_text, page_heading, page_title, parse_html


@reader("whole_page", "html", seconds=0.05, per_megabyte=0.3, risk=0.5)
def whole_page(document: Path, kind: str) -> dict[str, Any]:
    """The text of the page's visible parts, a line per block. Its risk is that menus are taken for the page."""
    raw = read_bytes(document)
    root = parse_html(raw)
    if root is None:
        raise Refused(f"it has no words: {len(decode_markup(raw))} characters of markup")
    return {
        "text": markup_text(raw, furniture=False) or markup_text(raw),
        "reading": Reading(title=page_title(root), heading=page_heading(root)),
    }
