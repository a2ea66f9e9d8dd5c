"""Texts of drawings and charts in Office files (DrawingML, ECMA-376 part 1, 20 and 21)."""

from collections.abc import Iterator
from typing import Any

from .archive import Archive, descendants


def paragraphs_of_drawing(root: Any) -> Iterator[str]:
    """The paragraphs of a drawing or a diagram."""
    for paragraph in descendants(root, "p"):
        text = "".join(found.text or "" for found in descendants(paragraph, "t")).strip()
        if text:
            yield text


def chart_texts(root: Any) -> Iterator[str]:
    """Titles of a chart, and the names of its series and categories."""
    yield from paragraphs_of_drawing(root)
    names = (value.text or "" for cache in descendants(root, "strCache") for value in descendants(cache, "v"))
    line = " | ".join(dict.fromkeys(name.strip() for name in names if name.strip()))
    if line:
        yield line


def drawings_of(archive: Archive, folder: str) -> Iterator[str]:
    """The texts of all diagrams, drawings and charts in a folder of the archive, each once."""
    seen: set[str] = set()
    for member in sorted(archive.names):
        kind = member.removeprefix(f"{folder}/").partition("/")[2] if member.startswith(f"{folder}/") else ""
        reader = chart_texts if kind.startswith("chart") else paragraphs_of_drawing
        if not kind.endswith(".xml") or not kind.startswith(("chart", "data", "drawing")):
            continue
        root = archive.xml(member)
        for text in reader(root) if root is not None else ():
            if text not in seen and any(map(str.isalpha, text)):
                seen.add(text)
                yield text
