"""Text of a presentation, slide by slide: titles, paragraphs, tables, diagrams and the speaker's notes (ECMA-376)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator import Refused
from orchestrator.integrations.documents import Reading, reader, tidy
from orchestrator.integrations.documents.archive import (
    Archive,
    attribute,
    chart_texts,
    descendants,
    element_text,
    local,
    relation_id,
    relations,
)

BESIDE = ("ppt/notesSlides/", "ppt/diagrams/", "ppt/charts/", "ppt/comments/")
"""Folders of what belongs to a slide."""
NUMBER = "‹#›"
"""What stands for the number of a slide that was never drawn."""


@reader("pptx", "pptx", seconds=0.05, per_megabyte=0.5, memory=1000)
def pptx(document: Path, kind: str, password: str | None = None) -> dict[str, Any]:
    """The text of the presentation."""
    archive = Archive(document, "PowerPoint presentation", password)
    presentation = archive.xml("ppt/presentation.xml")
    if presentation is None:
        raise Refused("it is no sound PowerPoint presentation: its main part is missing or broken")
    targets = relations(archive, "ppt/presentation.xml")
    slides = [targets.get(relation, "") for relation in slide_ids(presentation)]
    parts: list[str] = []
    missing: list[str] = []
    reading = Reading(pages=len(slides))
    for number, slide in enumerate(slides, 1):
        root = archive.xml(slide)
        if root is None:
            missing.append(str(number))
            continue
        reading.heading = reading.heading or title_of_slide(root)
        parts.extend(blocks(root))
        for target in relations(archive, slide).values():
            more = archive.xml(target) if target.startswith(BESIDE) else None
            if more is None:
                continue
            if "/notesSlides/" in target:
                parts.extend(f"Notes: {text}" for text in blocks(more) if not text.isdigit())
            elif "/comments/" in target:
                parts.extend(f"Comment: {found.text}" for found in descendants(more, "text") if found.text)
                parts.extend(f"Comment: {text}" for text in blocks(more))
            elif "/data" in target or "/chart" in target:
                parts.extend(chart_texts(more))
    properties = archive.xml("docProps/core.xml")
    reading.title = None if properties is None else element_text(properties, "title")
    if missing:
        reading.notes.append(f"Slides that could not be read: {', '.join(missing)}.")
    reading.notes.extend(archive.notes())
    return {"text": tidy("\n\n".join(parts)), "reading": reading}


def slide_ids(presentation: Any) -> Iterator[str]:
    """The relations of the slides, in the order in which they are shown."""
    for listed in presentation:  # not the lists within its sections, which name the same slides
        if local(listed) == "sldIdLst":
            yield from (relation_id(entry) for entry in listed if local(entry) == "sldId")


def blocks(element: Any) -> Iterator[str]:
    """The paragraphs and tables under an element; a table has a line per row."""
    for child in element:
        name = local(child)
        if name == "p":
            text = paragraph_text(child)
            if text and text != NUMBER:
                yield text
        elif name == "tbl":
            rows = (" | ".join(" ".join(blocks(cell)) for cell in row if local(cell) == "tc") for row in child)
            yield "\n".join(row for row in rows if row.strip(" |"))
        elif name == "AlternateContent":
            yield from blocks(next(iter(child), child))
        elif name:
            yield from blocks(child)


def paragraph_text(paragraph: Any) -> str:
    """The text of a DrawingML paragraph."""
    parts = [
        "\n" if local(found) == "br" else found.text or "" for found in paragraph.iter() if local(found) in ("t", "br")
    ]
    return "".join(parts).strip()


def title_of_slide(slide: Any) -> str | None:
    """The text of the slide's title placeholder."""
    for shape in descendants(slide, "sp"):
        kinds = {attribute(found, "type") for found in descendants(shape, "ph")}
        if kinds & {"title", "ctrTitle"}:
            return " ".join(" ".join(blocks(shape)).split()) or None
    return None
