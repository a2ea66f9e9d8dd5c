"""The article of an HTML page by trafilatura: menus, footers and advertising left out."""

from pathlib import Path
from typing import Any

from orchestrator import InvalidOutput, Unavailable, tool


def is_html(kind: str) -> bool:
    """Whether the document is an HTML page."""
    return kind == "html"


@tool(name="trafilatura", gives="text", when=is_html, latency=0.1, retries=0)
def trafilatura(document: Path, kind: str) -> str:
    """The main text of the page."""
    try:
        import trafilatura as library
    except ImportError:
        raise Unavailable("trafilatura is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    extract: Any = library.extract
    text: str | None = extract(document.read_bytes(), include_comments=False)
    if not text or not any(character.isalnum() for character in text):
        raise InvalidOutput("no article was found in the page")
    return text
