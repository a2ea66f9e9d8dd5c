"""Text of an EPUB book: its chapters in the order of its spine."""

import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from orchestrator import Refused
from orchestrator.integrations.documents import Reading, reader, tidy
from orchestrator.integrations.documents.archive import Archive, descendants, element_text
from orchestrator.integrations.documents.markup import markup_text

MOST_CHARACTERS = 5_000_000


@reader("epub", "epub", seconds=0.2, per_megabyte=1.0, memory=1000)
def epub(document: Path, kind: str) -> dict[str, Any]:
    """The text of the book."""
    archive = Archive(document, "EPUB book")
    container = archive.xml("META-INF/container.xml")
    files = descendants(container, "rootfile") if container is not None else iter(())
    path = next((found.get("full-path", "") for found in files), "")
    package = archive.xml(path)
    if package is None:
        raise Refused("it is no sound EPUB book: its list of contents is missing")
    folder = posixpath.dirname(path)
    items = {item.get("id"): unquote(item.get("href", "")) for item in descendants(package, "item")}
    reading = Reading(title=element_text(package, "title"))
    chapters: list[str] = []
    for entry in descendants(package, "itemref"):
        raw = archive.read(posixpath.normpath(posixpath.join(folder, items.get(entry.get("idref"), ""))))
        if raw is None:
            reading.notes.append("A chapter is missing in it.")
            continue
        chapters.append(markup_text(raw))
        if sum(map(len, chapters)) > MOST_CHARACTERS:
            reading.partial = True
            reading.notes.append(f"Only the first {MOST_CHARACTERS // 1_000_000} million characters were read.")
            break
    text = tidy("\n\n".join(chapters))
    if archive.xml("META-INF/rights.xml") is not None and not any(map(str.isalnum, text)):
        raise Refused("it is protected: its seller encrypted it")
    return {"text": text, "reading": reading}
