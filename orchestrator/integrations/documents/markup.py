"""Visible text of HTML: a line per block, and per row of a table."""

import re
from collections.abc import Iterator
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
NESTED: Final = re.compile(
    r"<(/?)(div|section|article|main|center|blockquote|ul|ol|dl|table|tbody|tr|td|th|span|font|b|i|u|em|strong|a|big|small)"
    r"\b[^<>]*>",
    re.IGNORECASE,
)
"""Tags that may be nested to any depth."""


def parse_html(raw: bytes) -> Any:
    """The root element of a page; `None` for one without an element. What is nested too deeply is flattened."""
    text = decode_markup(raw)
    if text.lstrip().startswith("<?xml"):
        text = text[text.find("?>") + 2 :]
    root, whole = _parsed(text)
    if not whole:
        flat = NESTED.sub(lambda tag: "" if tag[2].lower() in INLINE else "<br>", text)
        root = _parsed(re.sub(r"(?:<br>\s*)+", "<br>", flat))[0]
    return root


def _parsed(text: str) -> tuple[Any, bool]:
    """The root element, and whether the parser went to the end: libxml2 gives up at 2,048 open elements."""
    try:
        from lxml import etree, html
    except ImportError:
        raise Unavailable("lxml is not installed: see the extra 'documents' (docs/how-to/install.md)") from None
    library: Any = html
    parser = library.HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = library.document_fromstring(text, parser=parser)
    except (etree.ParserError, ValueError):
        return None, True
    return root, not any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log)


def join_lines(root: Any) -> None:
    """Replace the line ends of a page's source by spaces, except in `<pre>`."""
    as_written = {element for pre in root.iter("pre", "textarea") for element in pre.iter()}
    for element in root.iter():
        if element.text and element not in as_written:
            element.text = element.text.replace("\n", " ")
        if element.tail and element.getparent() not in as_written:
            element.tail = element.tail.replace("\n", " ")


def markup_text(raw: bytes, *, furniture: bool = True) -> str:
    """The visible text; without menus, asides and forms if `furniture` is false."""
    root = parse_html(raw)
    if root is None:
        return ""
    text = "".join(_pieces(root, HIDDEN if furniture else HIDDEN | FURNITURE))
    return tidy("\n".join(" ".join(line.split()).removeprefix("| ") for line in text.split("\n")))


def _pieces(root: Any, left_out: frozenset[str]) -> Iterator[str]:
    """The visible characters with line ends, in the order of the page; no recursion, for pages may be nested deeply."""
    from lxml import etree

    walk: Any = etree.iterwalk(root, events=("start", "end"))
    in_line = False
    for event, element in walk:
        name = local(element).lower()
        if event == "start" and (not name or name in left_out or _is_hidden(element)):
            walk.skip_subtree()
        elif event == "start":
            if name in ("td", "th"):
                yield " | " if in_line else ""
            elif name not in INLINE and name != "br":
                yield "\n" if name in ("tr", "li", "dt", "dd") else "\n\n"
                in_line = False
            yield "- " if name == "li" else ""
            yield (element.text or "").replace("\n", " ")
            in_line = in_line or name in ("td", "th") or bool((element.text or "").strip())
        else:
            if name == "br" or (name and name not in INLINE and name not in ("td", "th") and name not in left_out):
                yield "\n"
                in_line = False
            if element is not root:
                yield (element.tail or "").replace("\n", " ")
                in_line = in_line or bool((element.tail or "").strip())


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
"""Names of `<meta>` elements, the most reliable first."""


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
