"""A brief: a title, a summary of a few sentences and the keywords of a document."""

import re
from pathlib import Path

from pydantic import BaseModel

from orchestrator import tool
from orchestrator.integrations.documents import Reading, detect_language, keywords_of, title_of

WORDS = re.compile("[\u0e00-\u0e7f]{5}|[\u3040-\u30ff\u3400-\u9fff]|[^\\W_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+")
"""A word, or a character of a script without spaces."""


class Brief(BaseModel):
    """What a reader needs to decide whether to read the document."""

    title: str
    source: str
    kind: str
    words: int
    """Words in the document; characters where its script has no spaces."""
    summary: str
    keywords: list[str]
    language: str | None = None
    """ISO 639-1; `None` where it cannot be told."""
    pages: int | None = None
    """Pages, slides or sheets, where there are such."""
    partial: bool = False
    """Whether only the beginning of the document was read."""
    notes: list[str] = []
    """What could not be read or was left out."""


@tool(gives="brief", latency=0.01, isolation="process", memory=1000)
def compose_brief(document: Path, kind: str, text: str, summary: str, reading: Reading | None = None) -> Brief:
    """Put a brief together from the text of a document, its summary, and what its reader noted."""
    noted = reading or Reading()
    language = detect_language(text)
    return Brief(
        title=title_of(text, document, noted.title, noted.heading),
        source=document.name,
        kind=kind,
        words=len(WORDS.findall(text)),
        summary=summary.strip(),
        keywords=keywords_of(text, language),
        language=language,
        pages=noted.pages,
        partial=noted.partial,
        notes=noted.notes,
    )
