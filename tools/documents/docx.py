"""Text of a Word document: all that is visible, in its order.

Paragraphs, tables with the tables inside them, text boxes, content controls, tracked insertions (deletions left out),
foot- and endnotes, comments, headers and footers. It reads the XML itself (ECMA-376): python-docx sees paragraphs and
tables of the body alone, and fails on a relation that leads nowhere.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator import Refused
from orchestrator.integrations.documents import Reading, reader, tidy
from orchestrator.integrations.documents.archive import (
    Archive,
    attribute,
    descendants,
    drawings_of,
    element_text,
    local,
)
from orchestrator.integrations.documents.markup import markup_text

INVISIBLE = frozenset(
    (
        "del",
        "moveFrom",
        "delText",
        "instrText",
        "delInstrText",
        "pPr",
        "rPr",
        "sectPr",
        "tblPr",
        "tcPr",
        "trPr",
        "rt",
        "sdtPr",
    )
)
BLOCKS = frozenset(("p", "tbl", "txbxContent"))


@reader("docx", "docx", seconds=0.05, per_megabyte=1.0, memory=1000)
def docx(document: Path, kind: str, password: str | None = None) -> dict[str, Any]:
    """The text of the document."""
    archive = Archive(document, "Word document", password)
    root = archive.first("word/document.xml", "word/document2.xml")
    if root is None:
        raise Refused("it is no sound Word document: its main part is missing or broken")
    headings = heading_styles(archive)
    body = next(descendants(root, "body"), root)
    reading = Reading(title=core_title(archive), heading=first_heading(body, headings))
    parts = [*blocks(body), *drawings_of(archive, "word")]
    if next(descendants(body, "altChunk"), None) is not None:
        embedded = [archive.read(name) for name in sorted(archive.names) if name.endswith((".html", ".htm", ".xhtml"))]
        parts.extend(markup_text(raw) for raw in embedded if raw)
        if not embedded:
            reading.notes.append("A document that is embedded in it was not read.")
    for label, members in (
        ("", part_names(archive, "footnotes", "endnotes")),
        ("Comment: ", part_names(archive, "comments")),
        ("Header: ", part_names(archive, "header")),
        ("Footer: ", part_names(archive, "footer")),
    ):
        for block in dict.fromkeys(more_blocks(archive, members)):
            parts.append(label + block)
    text = tidy("\n\n".join(parts))
    if archive.damaged and not any(map(str.isalnum, text)):
        raise Refused("it is no sound Word document: its main part is broken")
    reading.notes.extend(archive.notes())
    return {"text": text, "reading": reading}


def part_names(archive: Archive, *kinds: str) -> list[str]:
    """Members of the archive that are of these kinds: `word/header1.xml` is a `header`."""
    return [
        name
        for name in sorted(archive.names)
        if name.startswith("word/") and name.endswith(".xml") and name[5:-4].rstrip("0123456789") in kinds
    ]


def more_blocks(archive: Archive, members: list[str]) -> Iterator[str]:
    """The blocks of other parts; a page number alone is none."""
    for member in members:
        root = archive.xml(member)
        if root is not None:
            yield from (block for block in blocks(root) if any(map(str.isalpha, block)))


def blocks(element: Any) -> Iterator[str]:
    """The paragraphs and tables under an element, each as text; a table has a line per row."""
    for child in element:
        name = local(child)
        if name == "p":
            yield from paragraph_blocks(child)
        elif name == "tbl":
            rows = [row for row in map(row_text, rows_of(child)) if row.strip(" |")]
            if rows:
                yield "\n".join(rows)
        elif name == "AlternateContent":
            yield from blocks(chosen(child))
        elif name and name not in INVISIBLE:
            yield from blocks(child)


def paragraph_blocks(paragraph: Any) -> Iterator[str]:
    """The text of a paragraph, and after it those of the text boxes that are anchored in it."""
    boxes: list[Any] = []
    text = "".join(pieces(paragraph, boxes)).strip()
    if text:
        yield ("- " + text) if is_item(paragraph) else text
    for box in boxes:
        yield from blocks(box)


def pieces(element: Any, boxes: list[Any]) -> Iterator[str]:
    """The visible characters under an element; text boxes are put into `boxes`."""
    for child in element:
        name = local(child)
        if name == "t":
            yield child.text or ""
        elif name == "txbxContent":
            boxes.append(child)
        elif name == "tab":
            yield "\t"
        elif name in ("br", "cr"):
            yield "\n"
        elif name == "noBreakHyphen":
            yield "-"
        elif name == "AlternateContent":
            yield from pieces(chosen(child), boxes)
        elif name == "r" and is_hidden(child):
            continue
        elif name and name not in INVISIBLE:
            yield from pieces(child, boxes)


def chosen(alternatives: Any) -> Any:
    """The branch of an `mc:AlternateContent` that has text: both are the same content, drawn in two ways."""
    branches = [child for child in alternatives if local(child) in ("Choice", "Fallback")]
    with_text = [branch for branch in branches if any(t.text for t in descendants(branch, "t"))]
    return (with_text or branches or [alternatives])[0]


def is_hidden(run: Any) -> bool:
    """Whether a run is formatted as hidden text."""
    for properties in run:
        if local(properties) == "rPr":
            return any(
                local(child) == "vanish" and attribute(child, "val") not in ("0", "false") for child in properties
            )
    return False


def is_item(paragraph: Any) -> bool:
    """Whether a paragraph is an item of a list."""
    for properties in paragraph:
        if local(properties) == "pPr":
            return any(local(child) == "numPr" for child in properties)
    return False


def rows_of(table: Any) -> Iterator[Any]:
    """The rows of a table, not those of the tables in it."""
    for child in table:
        if local(child) == "tr":
            yield child
        elif local(child) not in ("tbl", "tc") and local(child) not in INVISIBLE:
            yield from rows_of(child)


def row_text(row: Any) -> str:
    """The cells of a row in one line; the rows of a table inside a cell are parted by `;`."""
    cells: list[str] = []
    for cell in cells_of(row):
        text = " ".join(" ; ".join(block.split("\n")) for block in blocks(cell))
        cells.append(" ".join(text.split()))
    return " | ".join(cells)


def cells_of(row: Any) -> Iterator[Any]:
    """The cells of a row; one that only continues the cell above is left out."""
    for child in row:
        if local(child) == "tc":
            merged = next((m for p in child if local(p) == "tcPr" for m in p if local(m) == "vMerge"), None)
            if merged is None or attribute(merged, "val") == "restart":
                yield child
        elif local(child) not in INVISIBLE:
            yield from cells_of(child)


def core_title(archive: Archive) -> str | None:
    """The title in the document's properties."""
    properties = archive.xml("docProps/core.xml")
    return None if properties is None else element_text(properties, "title")


def heading_styles(archive: Archive) -> frozenset[str]:
    """Ids of the styles that make a title or a first heading, whatever the language of the program."""
    styles = archive.xml("word/styles.xml")
    found = {"Title", "Heading1"}
    if styles is not None:
        for style in descendants(styles, "style"):
            name = next((attribute(child, "val") or "" for child in style if local(child) == "name"), "")
            if name.lower() in ("title", "heading 1"):
                found.add(attribute(style, "styleId") or "")
    return frozenset(found)


def first_heading(body: Any, styles: frozenset[str]) -> str | None:
    """The first paragraph that is a title or a heading."""
    for paragraph in descendants(body, "p"):
        style = next(
            (attribute(s, "val") for p in paragraph if local(p) == "pPr" for s in p if local(s) == "pStyle"), None
        )
        if style in styles:
            text = " ".join("".join(pieces(paragraph, [])).split())
            if text:
                return text
    return None
