"""Reading order of a PDF page with two columns whose lines were drawn alternately, row by row.

Most programs draw one column after the other. When a program draws across the page, each row of the extracted text is a
line of the left column and one of the right. A table of two columns looks the same, but its lines are short.
"""

from collections import Counter
from itertools import pairwise
from statistics import mean
from typing import Any, Final

Span = tuple[int, int]
"""Index of the first character, and of the one after the last, in the text of a page."""
Box = tuple[float, float, float, float]
"""Left, lower, right and upper edge in points."""
LEAST_ROWS: Final = 6
LEAST_WIDTH: Final = 120.0
"""Minimum width of a column of prose in points: about four words."""
FULL: Final = 0.75
"""Share of the width of its column that most lines of prose fill."""
LEAST_GAP: Final = 0.8
"""Minimum gap between the columns, in letter heights."""


def gutter_of(textpage: Any) -> float | None:
    """Where the right column begins, in points; `None` for a page without alternately drawn columns."""
    boxes: list[Box] = [textpage.get_rect(number) for number in range(textpage.count_rects())]
    rows = [(left, right) for left, right in pairwise(boxes) if _side_by_side(left, right)]
    if len(rows) < LEAST_ROWS:
        return None
    begin, count = Counter(round(right[0]) for _, right in rows).most_common(1)[0]
    apart = [(left, right) for left, right in rows if abs(right[0] - begin) <= 1]
    if count < LEAST_ROWS or not all(_is_prose([row[side] for row in apart]) for side in (0, 1)):
        return None
    return begin - 1.0


def by_columns(textpage: Any, spans: list[Span], gutter: float) -> list[Span]:
    """Lines in reading order: left column, right column; a line across both ends the columns above it."""
    done: list[Span] = []
    left: list[Span] = []
    right: list[Span] = []
    for span in spans:
        place = _split_at(textpage, span, gutter)
        if place is None:
            done += [*left, *right, span]
            left, right = [], []
            continue
        left += [(span[0], place)] if place > span[0] else []
        right += [(place, span[1])] if place < span[1] else []
    return [*done, *left, *right]


def _side_by_side(one: Box, other: Box) -> bool:
    """Whether two runs of text are parts of one row, with a gap between them."""
    height = min(one[3] - one[1], other[3] - other[1])
    overlap = min(one[3], other[3]) - max(one[1], other[1])
    return height > 0 and overlap > 0.5 * height and other[0] - one[2] > LEAST_GAP * height


def _is_prose(lines: list[Box]) -> bool:
    """Whether most lines of a column fill it."""
    width = max(line[2] for line in lines) - min(line[0] for line in lines)
    return width >= LEAST_WIDTH and mean(line[2] - line[0] >= FULL * width for line in lines) >= FULL


def _split_at(textpage: Any, span: Span, gutter: float) -> int | None:
    """The first character of a line that stands in the right column; `None` for a line that runs across."""
    low, high = span
    while low < high:
        middle = (low + high) // 2
        if _box(textpage, middle)[0] < gutter:
            low = middle + 1
        else:
            high = middle
    runs_across = span[0] < low and _box(textpage, low - 1)[2] > gutter
    return None if runs_across or (span[0] < low < span[1] and not _is_space(textpage, low - 1)) else low


def _box(textpage: Any, place: int) -> Box:
    left, lower, right, upper = textpage.get_charbox(place)
    return left, lower, right, upper


def _is_space(textpage: Any, place: int) -> bool:
    """Whether a character is a space: pdfium puts one, without a box, where there is a gap."""
    return not textpage.get_text_range(place, 1).strip()
