"""Text of an XML file of any vocabulary: a line for each element that has text."""

from pathlib import Path
from typing import Any

from orchestrator import Refused, tool
from orchestrator.integrations.documents import Reading, check_readable, decode_markup, tidy
from orchestrator.integrations.documents.archive import element_text, local, parse_xml, read_bytes
from orchestrator.integrations.documents.markup import markup_text

INLINE = frozenset(
    ("a", "b", "i", "em", "strong", "emphasis", "span", "sup", "sub", "code", "link", "strikethrough", "style")
)


def is_xml(kind: str) -> bool:
    """Whether the document is an XML file."""
    return kind == "xml"


def is_readable(output: dict[str, Any]) -> None:
    """Raises `Refused` for a text without words or a garbled one."""
    check_readable(output["text"])


@tool(
    name="xml",
    gives=("text", "reading"),
    when=is_xml,
    ensure=is_readable,
    latency=0.05,
    timeout=300,
    retries=0,
    isolation="process",
    memory=1000,
)
def xml(document: Path, kind: str) -> dict[str, Any]:
    """The text of every element."""
    raw = read_bytes(document)
    root = parse_xml(raw)
    if root is None:
        root = parse_xml(decode_markup(raw).partition("?>")[2].encode())
    if root is None:
        raise Refused("it is no sound XML file")
    if local(root) == "html":
        return {"text": markup_text(raw), "reading": Reading(title=element_text(root, "title"))}
    title = next(filter(None, (element_text(root, name) for name in ("book-title", "article-title", "title"))), None)
    return {"text": tidy("\n".join(lines_of(root))), "reading": Reading(title=title, heading=title)}


def lines_of(root: Any) -> list[str]:
    """The texts of elements, each in a line; what is within a line stays in it."""
    lines = [""]

    def walk(element: Any) -> None:
        name = local(element)
        inline = name in INLINE
        if not inline:
            lines.append("")
        if name and name != "binary":
            lines[-1] += element.text or ""
            for child in element:
                walk(child)
                lines[-1] += child.tail or ""
        if not inline:
            lines.append("")

    walk(root)
    texts = (" ".join(line.split()) for line in lines)
    return [text for text in texts if text]
