"""The title of a document: from its metadata if usable, else the visible title, else the file name."""

import re
from pathlib import PurePath
from typing import Final

MAX_TITLE: Final = 160
FILE_LIKE = re.compile(
    r"\.(?:docx?|pdf|dvi|tex|indd|qxd|html?|xlsx?|pptx?|odt|rtf|ps|txt|jpe?g|png|tiff?|xml|p65|pmd)$", re.I
)
NO_TITLE = re.compile(
    r"(?i)^(?:\(?(?:anonymous|unspecified|unknown|none|null|n/a|undefined)\)?|(?:word|pdf|text|html) document|"
    r"untitled(?:\s*document)?|no title|title|document\s?\d*|dokument\s?\d*|doc\s?\d+|new document|slide\s?\d*|"
    r"powerpoint[ -]pr[eé]sentation|présentation powerpoint|presentation\s?\d*|microsoft (?:word|powerpoint|excel)\b.*|"
    r"layout \d+|sans titre|ohne titel|unbenannt.*|senza titolo|sin título|бе[зс] .*названия|"
    r"(?:index|home|start|main|default|welcome|page)(?: ?page)?|print(?:ing)?|scan\w*\d*|img\w*\d+|template|"
    r"(?:insert|your|enter) title.*|paper title.*|full page photo|\d+|[\W_]+|"
    r"(?:test|foo|bar|temp)\d*|proof|cover|letter)$"
)
PROGRAM = re.compile(r"(?i)^microsoft (?:word|powerpoint|excel) - ")
MISREAD = re.compile("(?:[ÃÂãäåæçèé][^\x00-\x7f]{1,2}){3}")
"""UTF-8 that was decoded with another encoding."""
SITE = re.compile(r"\s+(?:[|·•»]|[-–—](?=\s)|::)\s+")
NO_HEADING = re.compile(
    r"(?i)^(?:page \d|(?:header|footer|comment|note|from|to): |\S+@|https?://|www\.|copyright|©|doi:|arxiv:|"
    r"table of contents|contents|draft)"
)


def title_of(text: str, source: PurePath, metadata: str | None = None, heading: str | None = None) -> str:
    """The best title, in one line."""
    given = (cleaned(metadata, heading), usable_title(heading), from_file_name(metadata))
    for candidate in (*given, usable_title(first_line(text))):
        if candidate:
            return candidate
    stem = re.sub(r"[-_+\s]+", " ", source.stem).strip()
    return stem[:1].upper() + stem[1:] if stem else source.name


def cleaned(metadata: str | None, heading: str | None = None) -> str | None:
    """A title from metadata, without the site's name; `None` if it is a file name or a placeholder."""
    if not metadata:
        return None
    title = _one_line(metadata)
    title = PROGRAM.sub("", re.sub(r"^\?{3,}", "", title))
    if (
        FILE_LIKE.search(title)
        or NO_TITLE.match(title)
        or not _is_informative(title, least=0.25)
        or MISREAD.search(title)
    ):
        return None
    if re.fullmatch(r"[\w-]*[\d_][\w-]*", title) and " " not in title:
        return None  # an identifier
    return _cut(without_site(title, heading))


def from_file_name(metadata: str | None) -> str | None:
    """The words of a file's name that stands as the title: `Microsoft Word - Minutes of May.docx`."""
    title = PROGRAM.sub("", _one_line(metadata or ""))
    if not FILE_LIKE.search(title) or "/" in title or "\\" in title:
        return None
    words = re.sub(r"[_\s]+", " ", FILE_LIKE.sub("", title)).strip()
    two_words = " " in words and len(re.findall(r"[^\W\d_]{2,}", words)) >= 2
    return usable_title(words) if two_words and not MISREAD.search(words) else None


def without_site(title: str, heading: str | None = None) -> str:
    """`Summer hours | Public Library` without its second half: the part that is the heading, or the longest."""
    parts = [part.strip() for part in SITE.split(title) if part.strip()]
    if len(parts) < 2:
        return title
    seen = _folded(heading or "")
    for part in parts:
        if seen and _folded(part) == seen:
            return part
    if seen and _folded(title) == seen:
        return title
    longest = max(parts, key=len)
    bar = re.search(r"\s[|·•»]\s|\s::\s", title) is not None
    if longest == parts[0] and (bar or len(parts[-1].split()) <= 4) and len(longest.split()) >= 2:
        return title[: title.rindex(parts[-1])].rstrip(" |·•»-–—:") if not bar else parts[0]
    return longest if bar and len(longest.split()) >= 3 else title


def usable_title(heading: str | None) -> str | None:
    """A heading that can be a title."""
    if not heading:
        return None
    line = _one_line(re.sub(r"^(?:#+\s+|[-*•]\s+)", "", heading.strip()))
    if not 3 <= len(line) <= MAX_TITLE or NO_HEADING.match(line) or NO_TITLE.match(line) or not _is_informative(line):
        return None
    if line.endswith((",", ";", ":", "-")) or (line.endswith((".", "。")) and len(line.split()) > 12):
        return None
    return line.rstrip(".") if len(line.split()) > 3 and not re.search(r"\b\w\.$|\.\.\.$", line) else line


def first_line(text: str) -> str | None:
    """The first informative line, unless it is a paragraph."""
    lines = [line.strip() for line in text.splitlines()[:13]] or [""]
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if _is_informative(line) and not NO_HEADING.match(line) and "|" not in line and not _is_row(line):
            wrapped = after and (after[0].islower() or min(len(line), len(after)) > 50)
            return None if len(line) > 100 or wrapped else line
    return None


def _is_row(line: str) -> bool:
    """Whether a line is rather a row of a table, or of a list of contents."""
    words = line.split()
    numbers = sum(any(map(str.isdigit, word)) for word in words)
    return numbers * 2.5 > len(words) >= 4 or re.search(r"[.…·_]{4,}|(?:[.…] ){3,}", line) is not None


def _one_line(text: str) -> str:
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _cut(title: str) -> str:
    if len(title) <= MAX_TITLE:
        return title
    return title[:MAX_TITLE].rsplit(" ", 1)[0].rstrip(" ,;:") + " …"


def _is_informative(line: str, least: float = 0.4) -> bool:
    letters = sum(character.isalpha() for character in line)
    return letters >= 2 and letters >= least * len(line.replace(" ", ""))


def _folded(text: str) -> str:
    return re.sub(r"\W+", " ", text).casefold().strip()
