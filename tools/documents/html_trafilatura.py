"""The article of an HTML page by trafilatura: menus, footers and advertising left out."""

import re
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable, tool
from orchestrator.integrations.documents import Reading, check_readable, decode_markup, tidy
from orchestrator.integrations.documents.archive import read_bytes
from orchestrator.integrations.documents.markup import page_heading, page_title, parse_html

LEAST_ARTICLE = 80
"""Characters under which what was found may be a notice beside the article."""


def is_html(kind: str) -> bool:
    """Whether the document is an HTML page."""
    return kind == "html"


def is_readable(output: dict[str, Any]) -> None:
    """Raises `Refused` for a text without words or a garbled one."""
    check_readable(output["text"])


@tool(
    name="trafilatura",
    gives=("text", "reading"),
    when=is_html,
    ensure=is_readable,
    latency=0.1,
    timeout=300,
    retries=0,
    isolation="process",
    memory=1500,
)
def trafilatura(document: Path, kind: str) -> dict[str, Any]:
    """The main text of the page."""
    try:
        import trafilatura as library
    except ImportError:
        raise Unavailable("trafilatura is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    source = decode_markup(read_bytes(document))
    if source.lstrip().startswith("<?xml"):
        source = source[source.find("?>") + 2 :]
    extract: Any = library.bare_extraction
    found = extract(source, include_comments=False, with_metadata=True)
    text = tidy(blocks((found.text or "") if found is not None else ""))
    root = parse_html(source.encode())
    if sum(map(str.isalnum, text)) < LEAST_ARTICLE:
        words = sum(map(str.isalnum, " ".join(root.itertext()))) if root is not None else 0
        if not any(map(str.isalnum, text)) or words > 20 * LEAST_ARTICLE:
            raise Refused("no article was found in the page")
    reading = Reading() if root is None else Reading(title=page_title(root), heading=page_heading(root))
    return {"text": text, "reading": reading}


def blocks(text: str) -> str:
    """Its lines, which are paragraphs, parted by empty lines; rows of tables and items of lists stay together."""
    return re.sub(r"\n(?![|-])|(?<=[^|\n])\n(?=\|)", "\n\n", text)
