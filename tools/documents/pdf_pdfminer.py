"""Text of a PDF by pdfminer.six: slower, and the one that follows the layout of columns."""

import logging
from pathlib import Path
from typing import Any

from orchestrator import Refused, Unavailable
from orchestrator.integrations.documents import paragraphs, reader, tidy
from orchestrator.integrations.documents.pdf import add_extras, refuse_scans, wrong_password

logging.getLogger("pdfminer").addHandler(logging.NullHandler())  # what it finds odd in a file is not for the terminal
logging.getLogger("pdfminer").propagate = False


@reader("pdfminer", "pdf", seconds=1.0, per_megabyte=6, risk=0.2)
def pdfminer(document: Path, kind: str, password: str | None = None) -> dict[str, Any]:
    """The text of every page, form values and annotations."""
    try:
        from pdfminer.high_level import extract_text
        from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
        from pdfminer.psparser import PSException
    except ImportError:
        raise Unavailable("pdfminer.six is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    refuse_scans(document, password)
    try:
        text = str(extract_text(str(document), password=password or ""))
    except (PDFPasswordIncorrect, PDFEncryptionError):
        raise Refused(wrong_password(password)) from None
    except (PSException, RecursionError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Refused(f"it is no sound PDF: {error}") from None  # it raises what comes
    return add_extras(document, paragraphs(tidy(text)), password)
