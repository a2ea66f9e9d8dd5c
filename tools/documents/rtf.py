"""Text of an RTF file: what is shown, in its order; comments, headers and footers after it."""

from pathlib import Path
from typing import Any

from orchestrator import Refused, tool
from orchestrator.integrations.documents import Reading, check_readable, tidy
from orchestrator.integrations.documents.archive import read_bytes
from orchestrator.integrations.documents.rtf import RtfText


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
    timeout=300,
    retries=0,
    isolation="process",
    memory=1000,
)
def rtf(document: Path, kind: str) -> dict[str, Any]:
    """The text of the document."""
    raw = read_bytes(document)
    if not raw.lstrip().startswith(b"{\\rtf"):
        raise Refused("it is no sound RTF file")
    found = RtfText(raw)
    text = "\n".join(line.strip().removesuffix(" |") for line in found.text.split("\n"))
    return {"text": tidy(text), "reading": Reading(title=found.title)}
