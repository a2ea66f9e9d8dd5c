"""Text of a Word document by python-docx: paragraphs, then the cells of its tables."""

from pathlib import Path

from orchestrator import Unavailable, tool
from orchestrator.checks import has_words


def is_docx(kind: str) -> bool:
    """Whether the document is a Word document."""
    return kind == "docx"


@tool(name="docx", gives="text", when=is_docx, ensure=has_words, latency=0.05, retries=0)
def docx_text(document: Path, kind: str) -> str:
    """The text of the document."""
    try:
        import docx
    except ImportError:
        raise Unavailable("python-docx is not installed: pip install 'orchestrator[documents]'") from None
    opened = docx.Document(str(document))
    paragraphs = [paragraph.text for paragraph in opened.paragraphs]
    rows = [" | ".join(cell.text for cell in row.cells) for table in opened.tables for row in table.rows]
    return "\n\n".join(part for part in (*paragraphs, *rows) if part.strip())
