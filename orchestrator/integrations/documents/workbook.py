"""Which cells of an Excel workbook have a number format, and how they are shown (ECMA-376, 18.3 and 18.8)."""

import io
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from .archive import Archive, descendants, relation_id, relations
from .number_formats import BUILT_IN, formatter

Shown = dict[tuple[int, int], str]
"""Row and column, counted from 0 -> the text of a cell."""
REFERENCE: Final = re.compile(r"([A-Z]{1,3})(\d+)")
WORKBOOK: Final = "xl/workbook.xml"


def shown_numbers(archive: Archive, sheet: str, most_rows: int) -> Shown:
    """The numbers of a sheet that a format shows as something else; nothing of files of other kinds."""
    styles = styles_of(archive)
    raw = sheet_source(archive, sheet) if styles else None
    if raw is None:
        return {}
    from lxml import etree

    shown: Shown = {}
    rows: Any = etree.iterparse(io.BytesIO(raw), tag="{*}row", recover=True, resolve_entities=False)
    with suppress(etree.XMLSyntaxError):
        for number, (_, row) in enumerate(rows):
            if number >= most_rows:
                break
            shown.update(found for cell in row for found in [shown_cell(cell, styles)] if found)
            row.clear()
    return shown


def shown_cell(cell: Any, styles: dict[str, Callable[[float], str | None]]) -> tuple[tuple[int, int], str] | None:
    """Place and text of a cell that holds a number with a format."""
    style, place = styles.get(cell.get("s", "")), REFERENCE.fullmatch(cell.get("r", ""))
    if style is None or place is None or cell.get("t", "n") != "n":
        return None
    value = next((found.text for found in descendants(cell, "v")), None)
    try:
        text = style(float(value or ""))
    except (ValueError, OverflowError):
        return None
    column = 0
    for letter in place[1]:
        column = 26 * column + ord(letter) - 64
    return ((int(place[2]) - 1, column - 1), text) if text else None


def styles_of(archive: Archive) -> dict[str, Callable[[float], str | None]]:
    """Number of a cell style -> what shows its numbers, for those that show them as something else."""
    root = archive.xml("xl/styles.xml")
    if root is None:
        return {}
    codes = {str(number): code for number, code in BUILT_IN.items()}
    codes |= {each.get("numFmtId", ""): each.get("formatCode", "") for each in descendants(root, "numFmt")}
    found: dict[str, Callable[[float], str | None]] = {}
    for styles in descendants(root, "cellXfs"):
        for number, style in enumerate(styles):
            shows = formatter(codes.get(style.get("numFmtId", ""), "General"))
            if shows is not None:
                found[str(number)] = shows
    return found


def sheet_source(archive: Archive, sheet: str) -> bytes | None:
    """The XML of a sheet."""
    workbook = archive.xml(WORKBOOK)
    if workbook is None:
        return None
    targets = relations(archive, WORKBOOK)
    for entry in descendants(workbook, "sheet"):
        if entry.get("name") == sheet:
            return archive.read(targets.get(relation_id(entry), ""))
    return None
