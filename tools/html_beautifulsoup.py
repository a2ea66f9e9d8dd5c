"""All visible text of an HTML page by Beautiful Soup: less choosy than an article extractor."""

from pathlib import Path

from orchestrator import Unavailable, tool
from orchestrator.core.checks import has_words

HIDDEN = ("script", "style", "noscript", "template", "nav", "footer", "svg")


def is_html(kind: str) -> bool:
    """Whether the document is an HTML page."""
    return kind == "html"


@tool(
    name="beautifulsoup",
    gives="text",
    when=is_html,
    ensure=has_words,
    latency=0.2,
    risk=0.01,
    retries=0,
)
def beautifulsoup(document: Path, kind: str) -> str:
    """The text of the page's visible parts, a line per block."""
    try:
        from bs4 import BeautifulSoup
    except ImportError:
        raise Unavailable(
            "beautifulsoup4 is not installed: see the extra 'documents' (docs/how-to/install.md)"
        ) from None
    soup = BeautifulSoup(document.read_bytes(), "html.parser")
    for hidden in soup.find_all(HIDDEN):
        hidden.decompose()
    return "\n".join(line.strip() for line in soup.get_text("\n").splitlines() if line.strip())
