"""Text of a PDF by Poppler's `pdftotext`, where it is installed."""

import shutil
import subprocess
from pathlib import Path

from orchestrator import Refused, Unavailable, tool
from orchestrator.core.checks import has_words

CANNOT_OPEN = 1
"""The exit status for a file that Poppler cannot open (man pdftotext)."""


def is_pdf(kind: str) -> bool:
    """Whether the document is a PDF."""
    return kind == "pdf"


@tool(
    name="pdftotext",
    gives="text",
    when=is_pdf,
    ensure=has_words,
    latency=0.6,
    timeout=60,
    retries=0,
)
def pdftotext(document: Path, kind: str) -> str:
    """The text of every page, in reading order."""
    program = shutil.which("pdftotext")
    if program is None:
        raise Unavailable("pdftotext is not installed (Debian: apt install poppler-utils)")
    command = [program, "-enc", "UTF-8", str(document.resolve()), "-"]
    done = subprocess.run(command, capture_output=True, timeout=55, check=False)
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "replace")
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if any("Incorrect password" in line for line in said):
        raise Refused(f"{document.name} is encrypted and needs a password")
    last = said[-1] if said else "no message"
    if done.returncode == CANNOT_OPEN:
        raise Refused(f"{document.name} is no sound PDF: {last}")
    raise ValueError(f"pdftotext ended with status {done.returncode}: {last}")
