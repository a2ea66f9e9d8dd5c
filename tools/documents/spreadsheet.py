"""The cells of a spreadsheet by calamine: `.xlsx`, `.xlsb`, the old `.xls` and `.ods`; a line per row."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable
from orchestrator.integrations.documents import Reading, reader, tidy
from orchestrator.integrations.documents.archive import OLE, Archive, descendants, element_text, open_ole, read_bytes
from orchestrator.integrations.documents.drawing import drawings_of

MOST_ROWS = 20_000


@reader("spreadsheet", "spreadsheet", seconds=0.1, per_megabyte=1.0)
def spreadsheet(document: Path, kind: str, password: str | None = None) -> dict[str, Any]:
    """The cells of every sheet that is shown."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum
    except ImportError:
        raise Unavailable(
            "python-calamine is not installed: see the extra 'documents' (docs/how-to/install.md)"
        ) from None
    raw, reading, drawings = read_bytes(document), Reading(), list[str]()
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(unlocked(document, raw, password, reading, drawings)))
        sheets = [sheet for sheet in workbook.sheets_metadata if sheet.visible == SheetVisibleEnum.Visible]
        parts: list[str] = []
        left = MOST_ROWS
        for sheet in sheets:
            rows = [row for row in map(row_text, workbook.get_sheet_by_name(sheet.name).to_python()) if row]
            if len(rows) > left:
                reading.partial = True
                reading.notes.append(f"Only {MOST_ROWS} rows were read.")
            if rows[:left]:
                parts.append("\n\n".join([sheet.name, "\n".join(rows[:left])]))
            left = max(0, left - len(rows))
        parts.extend(drawings)
    except (CalamineError, OSError, ValueError) as error:
        if "password" in str(error).lower() or "encrypt" in str(error).lower():
            raise Refused("it is encrypted and needs a password") from None
        raise Refused(f"it is no sound workbook: {error}") from None
    reading.pages = len(sheets)
    reading.heading = sheets[0].name if len(sheets) == 1 else None
    return {"text": tidy("\n\n".join(parts)), "reading": reading}


def unlocked(document: Path, raw: bytes, password: str | None, reading: Reading, drawings: list[str]) -> bytes:
    """The file without its password; its title and the texts of its drawings are noted."""
    if raw.startswith(OLE):
        with open_ole(raw) as container:
            if not container.exists("EncryptedPackage"):
                return raw
    archive = Archive(document, "workbook", password)
    for member in ("docProps/core.xml", "meta.xml"):
        properties = archive.xml(member)
        if properties is not None:
            reading.title = element_text(properties, "title")
    drawings.extend(drawings_of(archive, "xl"))
    drawings.extend(comments_of(archive))
    if raw.startswith(OLE) and archive.zip.fp is not None:
        archive.zip.fp.seek(0)
        return archive.zip.fp.read()
    return raw


def comments_of(archive: Archive) -> Iterator[str]:
    """The comments beside the cells of an Excel file."""
    for member in sorted(archive.names):
        root = archive.xml(member) if re.fullmatch(r"xl/(?:comments|threadedComments/).*\.xml", member) else None
        for comment in descendants(root, "comment") if root is not None else ():
            text = " ".join("".join(found.text or "" for found in descendants(comment, "t")).split())
            if text:
                yield f"Comment at {comment.get('ref', '?')}: {text}"


def row_text(row: list[Any]) -> str:
    """The cells of a row in one line."""
    cells = [cell_text(cell) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return " | ".join(cells) if any(cells) else ""


def cell_text(cell: Any) -> str:
    """A value as a sheet shows it: whole numbers without a point."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return " ".join(str(cell).split())
