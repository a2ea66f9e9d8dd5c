"""A brief: what a document is, in a title, a few sentences and its most telling words."""

import re
from collections import Counter
from pathlib import Path

from pydantic import BaseModel

from orchestrator import tool

WORD = re.compile(r"[^\W\d_]{4,}")
COMMON_WORDS = """
about above after again against also although among another because been before being below between both came cannot
come could does done down each even every first from further have having here into itself just last least less like
made make many more most much must near never next none once only onto other over rather same shall should since some
still such than that their them then there these they this those though through together under until upon very well
were what when where which while whole will with within without would year years your
"""
COMMON = frozenset(COMMON_WORDS.split())


class Brief(BaseModel):
    """What a reader needs to decide whether to read the document."""

    title: str
    source: str
    kind: str
    words: int
    """Words in the document."""
    summary: str
    keywords: list[str]


@tool(gives="brief", latency=0.01)
def compose_brief(document: Path, kind: str, text: str, summary: str) -> Brief:
    """Put a brief together from the text of a document and its summary."""
    return Brief(
        title=title_of(text, document),
        source=document.name,
        kind=kind,
        words=len(text.split()),
        summary=summary.strip(),
        keywords=keywords_of(text),
    )


def title_of(text: str, document: Path) -> str:
    """The first line, where it is short enough to be a title; else the file's name."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if 3 <= len(first) <= 100 and not first.endswith((".", ",", ";", ":")):
        return first
    return document.stem.replace("-", " ").replace("_", " ").capitalize()


def keywords_of(text: str, most: int = 6) -> list[str]:
    """The words that are used most often, common ones left out; ties by the alphabet."""
    counts = Counter(word.lower() for word in WORD.findall(text) if word.lower() not in COMMON)
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]
