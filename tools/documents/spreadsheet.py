"""The cells of a spreadsheet by calamine: `.xlsx`, `.xlsb`, the old `.xls` and `.ods`; a line per row."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable
from orchestrator.integrations.documents import Reading, reader, tidy
from orchestrator.integrations.documents.archive import (
    OLE,
    Archive,
    descendants,
    drawings_of,
    element_text,
    open_ole,
    read_bytes,
)
from orchestrator.integrations.documents.workbook import Shown, plain_number, shown_numbers

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
    raw, reading = read_bytes(document), Reading()
    try:
        archive = opened(document, raw, password)
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(raw if archive is None else archive.raw))
        sheets = [sheet for sheet in workbook.sheets_metadata if sheet.visible == SheetVisibleEnum.Visible]
        parts: list[str] = []
        left = MOST_ROWS
        for sheet in sheets:
            found = workbook.get_sheet_by_name(sheet.name)
            shown = shown_numbers(archive, sheet.name, MOST_ROWS) if archive is not None else {}
            rows = rows_of(found.to_python(), found.start or (0, 0), shown)
            if len(rows) > left:
                reading.partial = True
                reading.notes.append(f"Only {MOST_ROWS} rows were read.")
            if rows[:left]:
                parts.append("\n\n".join([sheet.name, "\n".join(rows[:left])]))
            left = max(0, left - len(rows))
        if archive is not None:
            reading.title = title_in(archive)
            parts.extend([*drawings_of(archive, "xl"), *comments_of(archive)])
    except (CalamineError, OSError, ValueError) as error:
        if "password" in str(error).lower() or "encrypt" in str(error).lower():
            raise Refused("it is encrypted and needs a password") from None
        raise Refused(f"it is no sound workbook: {error}") from None
    reading.pages = len(sheets)
    reading.heading = sheets[0].name if len(sheets) == 1 else None
    return {"text": tidy("\n\n".join(parts)), "reading": reading}


def opened(document: Path, raw: bytes, password: str | None) -> Archive | None:
    """The archive that a new workbook is, without its password; `None` for the old binary format."""
    if raw.startswith(OLE):
        with open_ole(raw) as container:
            if not container.exists("EncryptedPackage"):
                return None
    return Archive(document, "workbook", password)


def title_in(archive: Archive) -> str | None:
    """The title in the properties of an Excel or OpenDocument file."""
    properties = archive.first("docProps/core.xml", "meta.xml")
    return None if properties is None else element_text(properties, "title")


def comments_of(archive: Archive) -> Iterator[str]:
    """The comments beside the cells of an Excel file."""
    for member in sorted(archive.names):
        root = archive.xml(member) if re.fullmatch(r"xl/(?:comments|threadedComments/).*\.xml", member) else None
        for comment in descendants(root, "comment") if root is not None else ():
            text = " ".join("".join(found.text or "" for found in descendants(comment, "t")).split())
            if text:
                yield f"Comment at {comment.get('ref', '?')}: {text}"


def rows_of(cells: list[list[Any]], start: tuple[int, int], shown: Shown) -> list[str]:
    """The rows that have a value, each in a line; columns without any value are left out."""
    rows = [
        [shown.get((start[0] + y, start[1] + x)) or cell_text(cell) for x, cell in enumerate(row)]
        for y, row in enumerate(cells)
    ]
    used = sorted({x for row in rows for x, text in enumerate(row) if text})
    lines = (joined([row[x] for x in used if x < len(row)]) for row in rows)
    return [line for line in lines if line]


def joined(cells: list[str]) -> str:
    """The cells of a row in one line, up to the last that has a value."""
    last = max((place for place, cell in enumerate(cells) if cell), default=-1)
    return " | ".join(cells[: last + 1])


def cell_text(cell: Any) -> str:
    """A value as a sheet without a format shows it."""
    return plain_number(cell) if isinstance(cell, float) else " ".join(str(cell).split())
