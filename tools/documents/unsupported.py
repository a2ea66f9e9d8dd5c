"""An honest sentence for a document that no reader here can open."""

from pathlib import Path

from orchestrator import Refused, tool

SENTENCES = {
    "doc": "it is a Word file of the old format (.doc): save it as .docx",
    "ppt": "it is a PowerPoint file of the old format (.ppt): save it as .pptx",
    "zip": "it is an archive of other files: unpack it and give the files in it",
    "unknown": "it is no document of a kind that can be read here",
}


def is_unsupported(kind: str) -> bool:
    """Whether no reader knows the kind."""
    return kind in SENTENCES


@tool(name="unsupported", gives="text", when=is_unsupported, latency=0.001, risk=1, retries=0)
def unsupported(document: Path, kind: str) -> str:
    """Say why the document cannot be read: always a refusal."""
    if document.is_file() and document.stat().st_size == 0:
        raise Refused("it is empty")
    raise Refused(f"{SENTENCES[kind]}")
