"""Text of a PDF by pypdf: the quickest of its readers, and the strictest about broken files."""

import logging
from pathlib import Path

from orchestrator import Refused, Unavailable, tool
from orchestrator.core.checks import has_words

logging.getLogger("pypdf").addHandler(logging.NullHandler())  # what it finds odd in a file is not for the terminal


def is_pdf(kind: str) -> bool:
    """Whether the document is a PDF."""
    return kind == "pdf"


@tool(name="pypdf", gives="text", when=is_pdf, ensure=has_words, latency=0.05, retries=0)
def pypdf(document: Path, kind: str) -> str:
    """The text of every page."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import FileNotDecryptedError, PyPdfError
    except ImportError:
        raise Unavailable("pypdf is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    try:
        return "\n\n".join(page.extract_text() for page in PdfReader(document).pages)
    except FileNotDecryptedError:
        raise Refused(f"{document.name} is encrypted and needs a password") from None
    except PyPdfError as error:
        raise Refused(f"{document.name} is no sound PDF: {error}") from None
