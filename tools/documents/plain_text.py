"""Text of a plain file, whatever its encoding; of Markdown, the words without the marks."""

import html
import json
import re
from pathlib import Path
from typing import Any

from orchestrator.integrations.documents import Reading, decode, reader, tidy, without_escapes
from orchestrator.integrations.documents.archive import read_bytes

MOST_BYTES = 20_000_000
FRONT_MATTER = re.compile(
    r"\A(?:---[ \t]*\n(.*?)\n(?:---|\.\.\.)|\+\+\+[ \t]*\n(.*?)\n\+\+\+)[ \t]*(?:\n|\Z)", re.DOTALL
)
"""YAML between `---` or TOML between `+++`."""
TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(?:[|>][+-]?[ \t]*\n((?:[ \t]+.*\n?)+)|(.+?)[ \t]*$)", re.MULTILINE)
"""Of front matter: in its line, or in the indented lines after it."""
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
UNDERLINE = re.compile(r"^ {0,3}(?:=+|-{2,})[ \t]*$")
RULE = re.compile(r"^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
TABLE_RULE = re.compile(r"^[ \t]*\|?(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*(?::?-+:?[ \t]*)?$")
LINK = re.compile(r"!?\[((?:[^\[\]\\]|\\.)*)\](?:\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?:\s+[\"'(][^)]*)?\)|\[[^\]]*\])")
DEFINITION = re.compile(r"^ {0,3}\[[^\]^][^\]]*\]:\s+\S+.*$")
AUTOLINK = re.compile(r"<((?:https?|mailto):[^<>\s]+)>")
TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9-]*(?:\s[^<>]*)?/?>|<!--.*?-->", re.DOTALL)
EMPHASIS = (
    re.compile(r"(?<![\\*\w])(\*{1,3})(?=[^\s*])(.+?)(?<=[^\s*\\])\1(?![*\w])"),
    re.compile(r"(?<![\\*\d])(\*\*)(?=[^\s*\d])(.+?)(?<=[^\s*\\\d])\1(?![*\d])"),
    re.compile(r"(?<![\\_\w])(_{1,3})(?=[^\s_])(.+?)(?<=[^\s_\\])\1(?![_\w])"),
    re.compile(r"(?<![\\~])(~~)(?=\S)(.+?)(?<=\S)\1"),
)
"""CommonMark, "Emphasis and strong emphasis". Single marks stand beside a word, not between two characters of one, and
double ones not beside a digit: `3*4 = 12`, `2**3`."""
CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


@reader("plain_text", "text", seconds=0.01, per_megabyte=0.5, memory=1000)
def plain_text(document: Path, kind: str) -> dict[str, Any]:
    """The file as it is, but for colours of a terminal and escapes of JSON."""
    raw = read_bytes(document)
    text = without_escapes(decode(raw[:MOST_BYTES])).strip("\n")
    return {"text": unescaped(text), "reading": limits_of(raw)}


def unescaped(text: str) -> str:
    """JSON with its characters in place of `\\u00e4`, a value per line; other text as it is."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(value, ensure_ascii=False, indent=1)


@reader("markdown", "markdown", seconds=0.01, per_megabyte=1.0, memory=1000)
def markdown(document: Path, kind: str) -> dict[str, Any]:
    """The words of a Markdown file."""
    raw = read_bytes(document)
    source, reading = decode(raw[:MOST_BYTES]), limits_of(raw)
    matter = FRONT_MATTER.match(source)
    if matter:
        source = source[matter.end() :]
        reading.title = front_title(matter[1] or matter[2])
    reading.heading = first_heading(source)
    return {"text": tidy(words_of(source)), "reading": reading}


def limits_of(raw: bytes) -> Reading:
    """Whether the file was read whole."""
    if len(raw) <= MOST_BYTES:
        return Reading()
    return Reading(partial=True, notes=[f"Only the first {MOST_BYTES // 1_000_000} MB were read."])


def front_title(matter: str) -> str | None:
    """The title in the YAML or TOML before a document."""
    found = TITLE.search(matter)
    if found is None:
        return None
    value = " ".join((found[1] or found[2]).split())
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def first_heading(source: str) -> str | None:
    """The first heading, `# so` or underlined."""
    lines = source.split("\n")
    for place, line in enumerate(lines):
        marked = HEADING.match(line)
        if marked:
            return inline(marked[1]) or None
        if UNDERLINE.match(line) and place and lines[place - 1].strip() and not lines[place - 1].startswith((" ", "-")):
            return inline(lines[place - 1].strip())
    return None


def words_of(source: str) -> str:
    """The text without the marks of Markdown; code stays as it is."""
    out: list[str] = []
    fence = ""
    for line in source.split("\n"):
        marked = FENCE.match(line)
        if marked and (not fence or (marked[1].startswith(fence) and not line.strip().strip(fence[0]))):
            fence = "" if fence else marked[1]
            out.append("")
        elif fence:
            out.append(line)
        else:
            out.extend(words_of_line(line, before=out[-1] if out else ""))
    return "\n".join(out)


def words_of_line(line: str, before: str) -> list[str]:
    """The words of one line; none for a rule or a definition of a link."""
    if DEFINITION.match(line) or TABLE_RULE.match(line) or (RULE.match(line) and not before.strip()):
        return [""] if not TABLE_RULE.match(line) else []
    if UNDERLINE.match(line) and before.strip():
        return [""]
    line = re.sub(r"^[ \t]*(?:>[ \t]?)+", "", line)
    heading = HEADING.match(line)
    if heading:
        return ["", inline(heading[1]), ""]
    if RULE.match(line):
        return [""]
    line = re.sub(r"^([ \t]*)[-*+][ \t]+(?:\[[ xX]\][ \t]+)?", r"\1- ", line)
    cells = line.strip()
    if cells.startswith("|") and cells.endswith("|") and len(cells) > 2:
        line = " | ".join(cell.strip() for cell in re.split(r"(?<!\\)\|", cells[1:-1]))
    return [inline(line)]


def inline(text: str) -> str:
    """A line without marks of emphasis, links and code; what stands between digits or letters is no mark."""
    kept: list[str] = []

    def keep(found: "re.Match[str]") -> str:
        kept.append(found[2].strip() if found.lastindex == 2 else found[1])
        return f"\x00{len(kept) - 1}\x00"

    text = CODE.sub(keep, text)
    text = ESCAPED.sub(keep, text)
    text = AUTOLINK.sub(r"\1", text)
    for _ in range(2):
        text = LINK.sub(r"\1", text)
    text = TAG.sub("", text)
    for _ in range(2):
        for mark in EMPHASIS:
            text = mark.sub(r"\2", text)
    text = html.unescape(text).removesuffix("\\")  # a backslash at the end of a line only breaks it
    return re.sub(r"\x00(\d+)\x00", lambda found: kept[int(found[1])], text)
