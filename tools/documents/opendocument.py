"""Text of an OpenDocument text or presentation (ISO 26300): paragraphs, tables, notes, text boxes, in their order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator import Refused
from orchestrator.integrations.documents import Reading, reader, tidy
from orchestrator.integrations.documents.archive import (
    Archive,
    attribute,
    descendants,
    element_text,
    local,
    parse_xml,
    read_bytes,
)

INVISIBLE = frozenset(("tracked-changes", "sequence-decls", "forms", "scripts", "settings", "note-citation", "creator"))


@reader("opendocument", "opendocument", seconds=0.05, per_megabyte=1.0, memory=1000)
def opendocument(document: Path, kind: str) -> dict[str, Any]:
    """The text of the document."""
    if read_bytes(document)[:4] == b"PK\x03\x04":
        archive = Archive(document, "OpenDocument file")
        manifest = archive.xml("META-INF/manifest.xml")
        if manifest is not None and next(descendants(manifest, "encryption-data"), None) is not None:
            raise Refused("it is encrypted and needs a password")
        content, meta = archive.xml("content.xml"), archive.xml("meta.xml")
        styles = archive.xml("styles.xml")
        notes = archive.notes()
    else:
        content = meta = parse_xml(document.read_bytes())
        styles, notes = None, []
    if content is None:
        raise Refused("it is no sound OpenDocument file: its content is missing or broken")
    body = next(descendants(content, "body"), content)
    headings = (" ".join("".join(pieces(h, [])).split()) for h in descendants(body, "h"))
    reading = Reading(
        title=None if meta is None else element_text(meta, "title"), heading=next(filter(None, headings), None)
    )
    reading.notes.extend(notes)
    parts = list(blocks(body))
    for label in ("header", "footer"):
        for found in descendants(styles, label) if styles is not None else ():
            parts.extend(f"{label.title()}: {block}" for block in blocks(found) if any(map(str.isalpha, block)))
    return {"text": tidy("\n\n".join(dict.fromkeys(parts))), "reading": reading}


def blocks(element: Any) -> Iterator[str]:
    """The paragraphs and tables under an element; a table has a line per row."""
    for child in element:
        name = local(child)
        if name in ("p", "h"):
            beside: list[Any] = []
            text = "".join(pieces(child, beside)).strip()
            if text:
                yield text
            for found in beside:
                yield from blocks(found)
        elif name == "table":
            rows = (row_text(row) for row in descendants(child, "table-row"))
            yield "\n".join(row for row in rows if row.strip(" |"))
        elif name == "list-item":
            yield from (f"- {block}" if not block.startswith("- ") else block for block in blocks(child))
        elif name and name not in INVISIBLE:
            yield from blocks(child)


def pieces(element: Any, beside: list[Any]) -> Iterator[str]:
    """The characters of a paragraph; frames, notes and comments in it are put into `beside`."""
    yield element.text or ""
    for child in element:
        name = local(child)
        if name == "s":
            yield " " * min(100, int(attribute(child, "c") or "1"))
        elif name == "tab":
            yield "\t"
        elif name == "line-break":
            yield "\n"
        elif name in ("frame", "note", "annotation", "text-box", "custom-shape"):
            beside.append(child)
        elif name and name not in INVISIBLE:
            yield from pieces(child, beside)
        yield child.tail or ""


def row_text(row: Any) -> str:
    """The cells of a row in one line."""
    cells = [" ".join(" ".join(blocks(cell)).split()) for cell in row if local(cell) == "table-cell"]
    while cells and not cells[-1]:
        cells.pop()
    return " | ".join(cells)
