"""Text of an XML file of any vocabulary: a line for each element that has text."""

from pathlib import Path
from typing import Any

from orchestrator import Refused
from orchestrator.integrations.documents import Reading, decode_markup, reader, tidy
from orchestrator.integrations.documents.archive import DAMAGED, element_text, local, parsed_xml, read_bytes
from orchestrator.integrations.documents.markup import markup_text

INLINE = frozenset(
    ("a", "b", "i", "em", "strong", "emphasis", "span", "sup", "sub", "code", "link", "strikethrough", "style")
)
UNSEEN = frozenset(("binary", "stylesheet", "script"))


@reader("xml", "xml", seconds=0.05, per_megabyte=0.5, memory=1000)
def xml(document: Path, kind: str) -> dict[str, Any]:
    """The text of every element."""
    raw = read_bytes(document)
    root, whole = parsed_xml(raw)
    if root is None:
        source = decode_markup(raw)
        root, whole = parsed_xml(
            source.partition("?>")[2].encode() if source.lstrip().startswith("<?") else source.encode()
        )
    if root is None:
        raise Refused("it is no sound XML file")
    if local(root) == "html":
        return {"text": markup_text(raw), "reading": Reading(title=element_text(root, "title"))}
    title = next(filter(None, (element_text(root, name) for name in ("book-title", "article-title", "title"))), None)
    reading = Reading(title=title, heading=title, notes=[] if whole else [DAMAGED])
    return {"text": tidy("\n".join(lines_of(root))), "reading": reading}


def lines_of(root: Any) -> list[str]:
    """The texts of elements, each in a line; what is within a line stays in it."""
    lines = [""]

    def walk(element: Any) -> None:
        name = local(element)
        inline = name in INLINE
        if not inline:
            lines.append("")
        if name and name not in UNSEEN:
            lines[-1] += element.text or ""
            for child in element:
                walk(child)
                lines[-1] += child.tail or ""
        if not inline:
            lines.append("")

    walk(root)
    texts = (" ".join(line.split()) for line in lines)
    return [text for text in texts if text]
