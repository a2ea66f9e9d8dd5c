"""Cells of an Excel workbook as displayed: percentages, amounts, decimals (ECMA-376, 18.3 and 18.8)."""

import io
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from .archive import Archive, descendants, relation_id, relations

BUILT_IN: Final = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 37: "#,##0;-#,##0", 38: "#,##0;-#,##0",
    39: "#,##0.00;-#,##0.00", 40: "#,##0.00;-#,##0.00",
}  # fmt: skip
"""Formats that a workbook refers to by number alone (ECMA-376, 18.8.30)."""
TOKEN = re.compile(r'\[\$([^\]-]*)[^\]]*\]|\[[^\]]*\]|"([^"]*)"|\\(.)|[_*].|([0#?][0#?,]*(?:\.[0#?]*,*)?|\.[0#?]+)|(.)')
"""Currency, colour or condition, literal text, escaped character, space as wide as a character, digits, the rest."""
UNKNOWN: Final = frozenset("dmyhsDMYHSgGeE/@")
"""Dates, fractions, powers of ten, `General` and text: no plain number."""
MOST_DECIMALS: Final = 15


def formatted(value: float, code: str) -> str | None:
    """A number as the format shows it; `None` where the format is of another kind."""
    sections = _sections(code)
    negative = value < 0 and len(sections) > 1
    section = sections[1] if negative else sections[2] if value == 0 and len(sections) > 2 else sections[0]
    parts = _parts(section)
    if parts is None:
        return None
    before, digits, after = parts
    if not digits:
        return before.strip() or None
    scaled = abs(value) * 100 ** (before + after).count("%") / 1000 ** _thousands(digits)
    number = _digits(scaled, *digits.replace(",", "").partition(".")[::2], grouped="," in digits.rstrip(","))
    minus = "-" if value < 0 and not negative and re.search("[1-9]", number) else ""
    return f"{minus}{before}{number}{after}".strip()


def formatter(code: str) -> Callable[[float], str | None] | None:
    """A function of a number; `None` for a format that shows numbers as they are, or of another kind."""
    parts = _parts(_sections(code)[0])
    return None if parts is None or not parts[1] else lambda value: formatted(value, code)


def plain_number(value: float) -> str:
    """A number without a format: whole ones without a point, others in 11 digits."""
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    short = f"{value:.11g}"
    return short if "e" not in short else str(value)


def _sections(code: str) -> list[str]:
    """The sections for positive numbers, negative numbers and zero, separated by semicolons outside quotes."""
    return re.split(r';(?=(?:[^"]*"[^"]*")*[^"]*$)', code)[:3]


def _parts(section: str) -> tuple[str, str, str] | None:
    """The parts before the digits, the digits, and after them."""
    before, digits, after = "", "", ""
    for token in TOKEN.finditer(section):
        currency, literal, escaped, found, other = token.groups()
        if other and other in UNKNOWN:
            return None
        if found and digits:
            return None
        shown = currency or literal or escaped or other or ""
        if found:
            digits = found
        elif digits:
            after += shown
        else:
            before += shown
    return before, digits, after


def _digits(value: float, whole: str, decimals: str, *, grouped: bool) -> str:
    """The digits of a number: `0` stands for one that is always shown, `#` and `?` for one that may be missing."""
    number = f"{value:{',' if grouped else ''}.{min(len(decimals), MOST_DECIMALS)}f}"
    integer, _, fraction = number.partition(".")
    integer = integer.zfill(whole.count("0")) if not grouped else integer
    fraction = fraction[: decimals.count("0")] + fraction[decimals.count("0") :].rstrip("0")
    if integer == "0" and "0" not in whole:
        integer = ""
    return f"{integer}.{fraction}" if fraction else integer


def _thousands(digits: str) -> int:
    """By how many thousands a format divides: the commas after its last digit."""
    return len(digits) - len(digits.rstrip(","))


Shown = dict[tuple[int, int], str]
"""Row and column, counted from 0 -> the text of a cell."""
REFERENCE: Final = re.compile(r"([A-Z]{1,3})(\d+)")
WORKBOOK: Final = "xl/workbook.xml"


def shown_numbers(archive: Archive, sheet: str, most_rows: int) -> Shown:
    """The numbers of a sheet that a format displays differently; empty for other kinds of files."""
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
    """Number of a cell style -> its formatter, for styles that display numbers differently."""
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
