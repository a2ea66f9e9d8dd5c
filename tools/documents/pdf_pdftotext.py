"""Text of a PDF by Poppler's `pdftotext`, where it is installed."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable
from orchestrator.integrations.documents import paragraphs, reader, tidy
from orchestrator.integrations.documents.pdf import add_extras, refuse_scans, wrong_password

CANNOT_OPEN = 1
"""The exit status for a file that Poppler cannot open (man pdftotext)."""


def is_installed() -> bool:
    """Whether the program is there."""
    return shutil.which("pdftotext") is not None


@reader("pdftotext", "pdf", seconds=1.2, per_megabyte=1.0, risk=0.3, timeout=60, available=is_installed)
def pdftotext(document: Path, kind: str, password: str | None = None) -> dict[str, Any]:
    """The text of every page, in reading order."""
    program = shutil.which("pdftotext")
    if program is None:
        raise Unavailable("pdftotext is not installed (Debian: apt install poppler-utils)")
    given = ["-upw", password] if password else []
    refuse_scans(document, password)
    command = [program, "-enc", "UTF-8", *given, str(document.resolve()), "-"]
    done = subprocess.run(command, capture_output=True, timeout=55, check=False)
    if done.returncode == 0:
        return add_extras(document, paragraphs(tidy(done.stdout.decode("utf-8", "replace"))), password)
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if any("Incorrect password" in line for line in said):
        raise Refused(wrong_password(password))
    last = said[-1] if said else "no message"
    if done.returncode == CANNOT_OPEN:
        raise Refused(f"it is no sound PDF: {last}")
    raise ValueError(f"pdftotext ended with status {done.returncode}: {last}")
