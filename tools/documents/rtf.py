"""Text of an RTF file: what is shown, in its order; comments, headers and footers after it."""

from pathlib import Path
from typing import Any

from orchestrator import Refused
from orchestrator.integrations.documents import Reading, reader, tidy
from orchestrator.integrations.documents.archive import read_bytes
from orchestrator.integrations.documents.rtf import RtfText


@reader("rtf", "rtf", seconds=0.1, per_megabyte=2.0, memory=1000)
def rtf(document: Path, kind: str) -> dict[str, Any]:
    """The text of the document."""
    raw = read_bytes(document)
    if not raw.lstrip().startswith(b"{\\"):
        raise Refused("it is no sound RTF file")
    found = RtfText(raw)
    text = "\n".join(line.strip().removesuffix(" |") for line in found.text.split("\n"))
    return {"text": tidy(text), "reading": Reading(title=found.title)}
