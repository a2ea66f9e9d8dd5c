"""The article of an HTML page by trafilatura: menus, footers and advertising left out."""

import re
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable
from orchestrator.integrations.documents import Reading, reader, tidy
from orchestrator.integrations.documents.archive import read_bytes
from orchestrator.integrations.documents.markup import join_lines, page_heading, page_title, parse_html

LEAST_ARTICLE = 80
"""Characters under which what was found may be a notice beside the article."""


@reader("trafilatura", "html", seconds=0.1, per_megabyte=1.5)
def trafilatura(document: Path, kind: str) -> dict[str, Any]:
    """The main text of the page."""
    try:
        import trafilatura as library
    except ImportError:
        raise Unavailable("trafilatura is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    root = parse_html(read_bytes(document))
    if root is None:
        raise Refused("there is nothing in it but markup")
    reading = Reading(title=page_title(root), heading=page_heading(root))
    words = sum(map(str.isalnum, " ".join(root.itertext())))
    join_lines(root)  # it takes those after a `<code>` or an `<a>` for the ends of paragraphs
    extract: Any = library.bare_extraction
    try:
        found = extract(root, include_comments=False, with_metadata=True)
    except RecursionError:
        raise Refused("its elements are nested too deeply for an article") from None
    text = tidy(blocks((found.text or "") if found is not None else ""))
    if sum(map(str.isalnum, text)) < LEAST_ARTICLE and (not any(map(str.isalnum, text)) or words > 20 * LEAST_ARTICLE):
        raise Refused("no article was found in the page")
    return {"text": text, "reading": reading}


def blocks(text: str) -> str:
    """Its lines, which are paragraphs, parted by empty lines; rows of tables and items of lists stay together."""
    return re.sub(r"\n(?![|-])|(?<=[^|\n])\n(?=\|)", "\n\n", text)
