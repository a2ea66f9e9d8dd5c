"""Visible text of HTML: all of it, a line per block, tables a line per row."""

import re
from typing import Any, Final

from orchestrator.core.errors import Unavailable

from .archive import local
from .decode import decode_markup
from .tidy import tidy

HIDDEN: Final = frozenset(
    ("script", "style", "noscript", "template", "svg", "head", "iframe", "object", "select", "datalist", "math")
)
FURNITURE: Final = frozenset(("nav", "footer", "aside", "form", "button"))
INLINE_TAGS: Final = """
a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small span strike strong
sub sup time tt u var wbr
"""
INLINE: Final = frozenset(INLINE_TAGS.split())
DEEPEST: Final = 300


def parse_html(raw: bytes) -> Any:
    """The root element of a page; `None` for one without an element."""
    try:
        from lxml import etree, html
    except ImportError:
        raise Unavailable("lxml is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    text = decode_markup(raw)
    if text.lstrip().startswith("<?xml"):
        text = text[text.find("?>") + 2 :]
    library: Any = html
    try:
        return library.document_fromstring(text, parser=library.HTMLParser(huge_tree=False))
    except (etree.ParserError, ValueError):
        return None


def markup_text(raw: bytes, *, furniture: bool = True) -> str:
    """The visible text; without menus, asides and forms where `furniture` is false."""
    root = parse_html(raw)
    if root is None:
        return ""
    out: list[str] = []
    _walk(root, out, HIDDEN if furniture else HIDDEN | FURNITURE, 0)
    return tidy("\n".join(" ".join(line.split()).removeprefix("| ") for line in "".join(out).split("\n")))


def _walk(element: Any, out: list[str], left_out: frozenset[str], depth: int) -> None:
    name = local(element).lower()
    if not name or name in left_out or depth > DEEPEST or _is_hidden(element):
        return
    if name == "br":
        out.append("\n")
        return
    block = name not in INLINE
    if name in ("td", "th"):
        block = False
        if out and not out[-1].endswith("\n"):
            out.append(" | ")
    if block:
        out.append("\n" if name in ("tr", "li", "dt", "dd") else "\n\n")
    if name == "li":
        out.append("- ")
    out.append((element.text or "").replace("\n", " "))
    for child in element:
        _walk(child, out, left_out, depth + 1)
        if child.tail:
            out.append(child.tail.replace("\n", " "))
    if block:
        out.append("\n")


def _is_hidden(element: Any) -> bool:
    style = (element.get("style") or "").replace(" ", "").lower()
    return element.get("hidden") is not None or "display:none" in style or "visibility:hidden" in style


def first_text(root: Any, name: str) -> str | None:
    """The text of the first element of that name that has one, in one line."""
    for found in root.iter(name):
        text = " ".join("".join(found.itertext()).split())
        if text:
            return text
    return None


TITLES: Final = ("citation_title", "dc.title", "dcterms.title", "og:title", "twitter:title")
"""Names of `<meta>` elements, the most careful first."""


def page_title(root: Any) -> str | None:
    """The title of a page: from its metadata, else its `<title>`."""
    given: dict[str, str] = {}
    for meta in root.iter("meta"):
        names = (meta.get("property") or meta.get("name") or "").lower().split()
        for name in names:
            given.setdefault(name, " ".join((meta.get("content") or "").split()))
    whole = first_text(root, "title")
    for name in TITLES:
        if given.get(name):
            site = given.get("og:site_name")
            return without_name(given[name], site) if site else given[name]
    return whole


def without_name(title: str, site: str) -> str:
    """A title without the name of its site at the end."""
    end = re.search(rf"\s*(?:[|·•»:]|[-–—]\s)\s*{re.escape(site)}\s*$", title, re.IGNORECASE)
    return title[: end.start()] if end and end.start() >= 3 else title


def page_heading(root: Any) -> str | None:
    """The text of the only `<h1>` of a page, or of its first one within the article."""
    headings = [text for text in (" ".join("".join(h.itertext()).split()) for h in root.iter("h1")) if text]
    if len(headings) == 1:
        return headings[0]
    within = (first_text(article, "h1") for name in ("article", "main") for article in root.iter(name))
    return next(filter(None, within), None)
