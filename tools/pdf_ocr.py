"""Text of a PDF by OCR: pages drawn by pdfium and read by Tesseract. The dear last resort."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable, tool
from orchestrator.core.checks import has_words

DOTS_PER_INCH = 200
MOST_PAGES = 50


def is_pdf(kind: str) -> bool:
    """Whether the document is a PDF."""
    return kind == "pdf"


@tool(
    name="ocr",
    gives="text",
    when=is_pdf,
    ensure=has_words,
    latency=15,
    risk=0.05,
    timeout=300,
    max_concurrency=2,
    retries=0,
)
def ocr(document: Path, kind: str) -> str:
    """What Tesseract reads on each page; of a long document, on its first fifty."""
    program = shutil.which("tesseract")
    if program is None:
        raise Unavailable("tesseract is not installed (Debian: apt install tesseract-ocr)")
    with tempfile.TemporaryDirectory() as folder:
        return "\n\n".join(read_page(program, page) for page in draw_pages(document, Path(folder)))


def draw_pages(document: Path, folder: Path) -> list[Path]:
    """Every page as a PNG file in `folder`."""
    try:
        import pypdfium2
    except ImportError:
        raise Unavailable("pypdfium2 is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    try:
        pdf: Any = pypdfium2.PdfDocument(document)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Refused(f"{document.name} is encrypted and needs a password") from None
        raise Refused(f"{document.name} is no sound PDF: {error}") from None
    try:
        drawn: list[Path] = []
        for number in range(min(len(pdf), MOST_PAGES)):
            drawn.append(folder / f"{number:03}.png")
            pdf[number].render(scale=DOTS_PER_INCH / 72).to_pil().save(drawn[-1])
        return drawn
    finally:
        pdf.close()


def read_page(program: str, page: Path) -> str:
    """What Tesseract reads on one page."""
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    done = subprocess.run([program, str(page), "stdout"], capture_output=True, timeout=120, check=True, env=environment)
    return done.stdout.decode("utf-8", "replace")
