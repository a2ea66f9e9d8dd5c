"""Text of a plain file: UTF-8 where it is, Latin-1 where not; of Markdown, the words without the marks."""

import re
from pathlib import Path

from orchestrator import tool
from orchestrator.core.checks import has_words

MARKS = re.compile(r"^\s{0,3}(#{1,6}\s+|[-*+]\s+|\d+\.\s+|>\s?)|[*_`]{1,3}", re.MULTILINE)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def decode(raw: bytes) -> str:
    """Bytes as text: by their byte order mark, as UTF-8, else as Latin-1, which never fails."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def is_markdown(kind: str) -> bool:
    """Whether the document is Markdown."""
    return kind == "markdown"


def is_text(kind: str) -> bool:
    """Whether the document is a plain text."""
    return kind == "text"


@tool(gives="text", when=is_text, ensure=has_words, latency=0.01, retries=0)
def plain_text(document: Path, kind: str) -> str:
    """The file as it is."""
    return decode(document.read_bytes())


@tool(gives="text", when=is_markdown, ensure=has_words, latency=0.01, retries=0)
def markdown(document: Path, kind: str) -> str:
    """The words of a Markdown file."""
    return MARKS.sub("", LINK.sub(r"\1", decode(document.read_bytes())))
