"""The text of a page that was fetched: its article by trafilatura, without menus, footers and advertising."""

from typing import Any

from orchestrator import InvalidOutput, Unavailable, tool
from orchestrator.integrations.documents import check_readable, tidy


@tool(gives="text", ensure=check_readable, latency=0.1, retries=0)
def page_text(html: str) -> str:
    """The main text of the page."""
    try:
        import trafilatura as library
    except ImportError:
        raise Unavailable("trafilatura is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    extract: Any = library.extract
    text: str | None = extract(html, include_comments=False)
    if not text or not any(character.isalnum() for character in text):
        raise InvalidOutput("no article was found in the page")
    return tidy(text)
