"""Text of a PDF by pdfium, the library of Chromium: quick, complete, and it tells headings by their size."""

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator import Refused
from orchestrator.integrations.documents import Reading, paragraphs, reader, tidy
from orchestrator.integrations.documents.columns import by_columns, gutter_of
from orchestrator.integrations.documents.pdf import (
    LEAST_LETTERS,
    ONLY_PICTURES,
    extras_of,
    import_pdfium,
    is_picture,
    metadata_title,
    ocr_is_installed,
    opened_pdf,
    with_extras,
)

MOST_PAGES = 2000
SAME_SIZE = 0.87
"""Boxes of letters of one size differ by so much: by descenders and by fonts."""


@reader("pdfium", "pdf", seconds=0.05, per_megabyte=0.3)
def pdfium(document: Path, kind: str, password: str | None = None) -> dict[str, Any]:
    """The text of every page, form values and annotations."""
    with opened_pdf(document, password) as pdf:
        reading = Reading(title=metadata_title(pdf), pages=len(pdf))
        pages: list[str] = []
        pictures: list[int] = []
        for number in range(min(len(pdf), MOST_PAGES)):
            try:
                lines = lines_of(pdf[number])
            except import_pdfium().PdfiumError:
                reading.notes.append(f"Page {number + 1} could not be read.")
                continue
            reading.heading = reading.heading or (largest(lines) if not pages else None)
            pages.append(paragraphs(tidy(as_text(lines))))
            if sum(map(str.isalnum, pages[-1])) < LEAST_LETTERS and is_picture(pdf[number]):
                pictures.append(number + 1)
        if len(pdf) > MOST_PAGES:
            reading.partial = True
            reading.notes.append(f"Only the first {MOST_PAGES} of {len(pdf)} pages were read.")
        if pictures and len(pictures) == len(pages) and ocr_is_installed():
            raise Refused(ONLY_PICTURES)
        if pictures and any(pages):
            reading.notes.append(f"Pictures that were not read fill these pages: {listed(pictures)}.")
        text = with_extras("\n\n".join(page for page in pages if page), list(extras_of(pdf)))
    return {"text": text, "reading": reading}


def listed(numbers: list[int], most: int = 10) -> str:
    """Numbers for a sentence, at most `most` of them."""
    return ", ".join(map(str, numbers[:most])) + (f" and {len(numbers) - most} more" if len(numbers) > most else "")


Line = tuple[str, float, float, float]
"""Text, size of its letters, and its lower and upper edge in points."""


def lines_of(page: Any) -> list[Line]:
    """The lines of a page in the order in which they are drawn, but for columns that are drawn in turns."""
    textpage = page.get_textpage()
    text: str = textpage.get_text_range(errors="replace")
    ends = list(accumulate(len(line) + 1 for line in text.split("\n")))
    spans = [(begin, end - 1) for begin, end in zip([0, *ends], ends, strict=False)]
    if len(text) != textpage.count_chars():
        return [(text[begin:end].rstrip("\r"), 0.0, 0.0, 0.0) for begin, end in spans]
    gutter = gutter_of(textpage)
    if gutter is not None:
        spans = by_columns(textpage, [(begin, begin + len(text[begin:end].rstrip())) for begin, end in spans], gutter)
    return [measured(textpage, text[begin:end].rstrip("\r"), begin) for begin, end in spans]


def measured(textpage: Any, line: str, begin: int) -> Line:
    """A line with its size and edges, by its first letter; zeros where they cannot be told."""
    size = low = high = 0.0
    if line.strip():
        first = begin + len(line) - len(line.lstrip())
        with suppress(Exception):
            _, low, _, high = textpage.get_charbox(first, loose=True)
            size = float(import_pdfium().raw.FPDFText_GetFontSize(textpage.raw, first)) or high - low
            size = high - low if high - low > 0 else size
    return line, size, low, high


def as_text(lines: list[Line]) -> str:
    """Lines as text, with an empty line where a gap or another size of letters parts them."""
    gaps = sorted(gap for gap in map(gap_between, lines, lines[1:]) if gap > 0)
    usual = median(gaps) if gaps else 0.0
    parts: list[str] = []
    for before, line in pairs(lines):
        if before is not None and parted(before, line, usual):
            parts.append("")
        parts.append(line[0])
    return "\n".join(parts)


def pairs(lines: list[Line]) -> Iterator[tuple[Line | None, Line]]:
    """Each line with the one before it."""
    before: Line | None = None
    for line in lines:
        yield before, line
        before = line


def gap_between(before: Line, line: Line) -> float:
    """Points from the foot of one line down to the foot of the next."""
    return before[2] - line[2] if before[1] and line[1] else 0.0


def parted(before: Line, line: Line, usual: float) -> bool:
    """Whether a paragraph ends between two lines."""
    if not (before[1] and line[1] and before[0].strip() and line[0].strip()):
        return False
    gap, small = gap_between(before, line), line[0].lstrip()[0].islower()
    if max(before[1], line[1]) > 1.15 * min(before[1], line[1]) and not small:
        return True
    if gap < -2 * line[1]:
        return not small  # the next column
    return bool(usual) and gap > 1.35 * usual and gap > 1.2 * line[1]


def largest(lines: list[Line]) -> str | None:
    """The lines of the largest letters on a page, if they are larger than the usual ones and few."""
    sized = [
        line for line in lines if line[1] and sum(map(str.isalpha, line[0])) >= 3 and not re.search("[@{}]", line[0])
    ]
    if len(sized) < 3:
        return None
    usual, most = median(line[1] for line in sized), max(line[1] for line in sized)
    if most < 1.15 * usual:
        return None
    first = next(place for place, line in enumerate(sized) if line[1] > SAME_SIZE * most)
    title: list[str] = []
    for line in sized[first : first + 4]:
        if line[1] <= SAME_SIZE * most:
            break
        title.append(line[0].strip())
    return tidy(" ".join(title)) or None
