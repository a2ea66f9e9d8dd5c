"""Tables in a plain text or in a page: rows of cells, as they stand."""

import re
from importlib.util import find_spec
from itertools import groupby

from orchestrator import Agent, Refused, Unavailable
from orchestrator.core.checks import not_empty

RULE = re.compile(r"[\s|:+=-]*")
"""A line that only rules off the head of a table."""
SEPARATORS = (re.compile(r"\s*\|\s*"), re.compile(r"\t+"), re.compile(r"\s*;\s*"), re.compile(r"\s{2,}"))


def cells_of(line: str) -> tuple[int, list[str]]:
    """Which separator parts a line (its place in `SEPARATORS`, or -1), and its cells."""
    stripped = line.strip()
    for place, separator in enumerate(SEPARATORS):
        inner = stripped.strip("|").strip() if place == 0 else stripped
        cells = separator.split(inner)
        if len(cells) > 1 and all(cells):
            return place, cells
    return -1, []


def tables(text: str) -> list[list[list[str]]]:
    """Two or more lines on end with as many cells, parted in the same way: by `|`, tabs, `;` or wide spaces.

    Raises `Refused` for a text without a table.
    """
    lines = [line for line in text.splitlines() if not (re.search("[-=]", line) and RULE.fullmatch(line))]
    parted = [(*cells_of(line), place) for place, line in enumerate(lines)]
    found: list[list[list[str]]] = []
    for (separator, _), group in groupby(parted, key=lambda line: (line[0], len(line[1]))):
        rows = [cells for _, cells, _ in group]
        if separator >= 0 and len(rows) > 1:
            found.append(rows)
    if not found:
        raise Refused("there is no table in the text")
    return found


def html_tables(html: str) -> list[list[list[str]]]:
    """Every `<table>` that holds no other table. Raises `Refused` for a page without one."""
    try:
        from bs4 import BeautifulSoup
    except ImportError:
        raise Unavailable(
            "beautifulsoup4 is not installed: see the extra 'documents' (docs/how-to/install.md)"
        ) from None
    found: list[list[list[str]]] = []
    parser = "lxml" if find_spec("lxml") else "html.parser"  # which does not know where a cell ends that is not closed
    for table in BeautifulSoup(html, parser).find_all("table"):
        if table.find("table") is None:
            rows = [
                [" ".join(cell.get_text(" ").split()) for cell in row.find_all(("td", "th"))]
                for row in table.find_all("tr")
            ]
            found.append([row for row in rows if row])
    if not any(found):
        raise Refused("there is no table in the page")
    return [table for table in found if table]


table_extractor = Agent(
    tables,
    name="table_extractor",
    gives="tables",
    skills={"extract.tables": 0.5},
    latency=0.02,
    ensure=not_empty,
    description="Find the tables in a plain text.",
)
html_table_extractor = Agent(
    html_tables,
    name="html_table_extractor",
    gives="tables",
    skills={"extract.tables": 0.9},
    latency=0.1,
    ensure=not_empty,
    description="Read the tables of a page.",
)
