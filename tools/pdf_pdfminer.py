"""Text of a PDF by pdfminer.six: slower than pypdf, and more forgiving."""

import logging
from pathlib import Path

from orchestrator import Refused, Unavailable, tool
from orchestrator.core.checks import has_words

logging.getLogger("pdfminer").addHandler(logging.NullHandler())  # what it finds odd in a file is not for the terminal


def is_pdf(kind: str) -> bool:
    """Whether the document is a PDF."""
    return kind == "pdf"


@tool(name="pdfminer", gives="text", when=is_pdf, ensure=has_words, latency=0.4, retries=0)
def pdfminer(document: Path, kind: str) -> str:
    """The text of every page."""
    try:
        from pdfminer.high_level import extract_text
        from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
        from pdfminer.psparser import PSException
    except ImportError:
        raise Unavailable("pdfminer.six is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    try:
        return str(extract_text(str(document)))
    except (PDFPasswordIncorrect, PDFEncryptionError):
        raise Refused(f"{document.name} is encrypted and needs a password") from None
    except PSException as error:
        raise Refused(f"{document.name} is no sound PDF: {error}") from None
