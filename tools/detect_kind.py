"""What a document is: by its first bytes, and by its suffix where bytes do not tell."""

from pathlib import Path

from orchestrator import CallerError, tool

SUFFIXES = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
}


@tool(gives="kind", latency=0.001)
def detect_kind(document: Path) -> str:
    """One of `pdf`, `docx`, `html`, `markdown`, `text`, or `unknown`."""
    try:
        head = document.open("rb").read(1024)
    except OSError as error:
        raise CallerError(f"{document} cannot be read: {error.strerror}") from None
    by_suffix = SUFFIXES.get(document.suffix.lower(), "")
    if b"%PDF-" in head:
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return "docx" if by_suffix == "docx" else "unknown"
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    if by_suffix:
        return by_suffix
    return "text" if head and b"\0" not in head else "unknown"
