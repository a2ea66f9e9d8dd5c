"""Text of an RTF file by striprtf."""

import re
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable, tool
from orchestrator.integrations.documents import Reading, check_readable, tidy
from orchestrator.integrations.documents.archive import read_bytes

TITLE = re.compile(r"\{\\title\s+((?:[^{}]|\{[^{}]*\})*)\}")


def is_rtf(kind: str) -> bool:
    """Whether the document is an RTF file."""
    return kind == "rtf"


def is_readable(output: dict[str, Any]) -> None:
    """Raises `Refused` for a text without words or a garbled one."""
    check_readable(output["text"])


@tool(
    name="rtf",
    gives=("text", "reading"),
    when=is_rtf,
    ensure=is_readable,
    latency=0.1,
    retries=0,
    isolation="process",
    memory=1000,
)
def rtf(document: Path, kind: str) -> dict[str, Any]:
    """The text of the document."""
    try:
        from striprtf import striprtf
    except ImportError:
        raise Unavailable("striprtf is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    library: Any = striprtf
    rtf_to_text = library.rtf_to_text
    source = read_bytes(document).decode("latin-1")
    try:
        text: str = rtf_to_text(source, errors="replace")
        title = TITLE.search(source)
        named = rtf_to_text("{\\rtf1\\ansi " + title[1] + "}", errors="replace").strip() if title else None
    except (ValueError, IndexError, LookupError, RecursionError, AttributeError) as error:
        raise Refused(f"{document.name} is no sound RTF file: {error}") from None
    lines = tidy(text).split("\n")
    return {"text": tidy("\n\n".join(lines)), "reading": Reading(title=named or None)}
