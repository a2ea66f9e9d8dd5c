"""A brief as a file, Markdown or an HTML page: written whole or not at all, and taken away again when not wanted."""

import html
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from orchestrator import NOT_DONE, tool

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}
small {{ color: #666 }}
</style>
<h1>{title}</h1>
<p><small>{source}, {kind}, {words} words</small></p>
<p>{summary}</p>
<p><small>{keywords}</small></p>
</html>
"""


def in_one_line(text: str) -> str:
    """Text in one line, without control characters."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def for_html(text: str) -> str:
    """Text that cannot become markup of a page."""
    return html.escape(in_one_line(text))


def for_markdown(text: str) -> str:
    """Text that cannot become markup, Markdown's own or HTML."""
    inline = re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", in_one_line(text))
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", inline)


def as_page(brief: Any) -> str:
    """The brief as an HTML page."""
    return PAGE.format(
        title=for_html(brief.title),
        source=for_html(brief.source),
        kind=for_html(brief.kind),
        words=int(brief.words),
        summary=for_html(brief.summary),
        keywords=for_html(", ".join(brief.keywords)),
    )


def as_markdown(brief: Any) -> str:
    """The brief as Markdown."""
    keywords = ", ".join(for_markdown(word) for word in brief.keywords)
    about = f"*{for_markdown(brief.source)}*, {for_markdown(brief.kind)}, {brief.words} words"
    return f"# {for_markdown(brief.title)}\n\n{about}\n\n{for_markdown(brief.summary)}\n\nKeywords: {keywords}\n"


def path_of(brief: Any, out_dir: Path, suffix: str) -> Path:
    """Where the brief of a source lies."""
    return out_dir / (re.sub(r"[^\w.-]", "_", brief.source) + suffix)


def write_whole(path: Path, text: str) -> Path:
    """Write a file so that nobody ever sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".draft-", delete=False, encoding="utf-8") as draft:
        try:
            draft.write(text)
            draft.close()
            os.replace(draft.name, path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
    return path


def if_written(path: Path, text: str) -> Any:
    """The path, when a file with just this content lies there."""
    return path if path.is_file() and path.read_text(encoding="utf-8") == text else NOT_DONE


def find_markdown(brief: Any, out_dir: Path) -> Any:
    """The Markdown file, when it was written."""
    return if_written(path_of(brief, out_dir, ".md"), as_markdown(brief))


def find_page(brief: Any, out_dir: Path) -> Any:
    """The page, when it was written."""
    return if_written(path_of(brief, out_dir, ".html"), as_page(brief))


def remove(path: Path) -> None:
    """Take the file away again."""
    path.unlink(missing_ok=True)


@tool(gives="brief_file", effect="write", reconcile=find_markdown, compensate=remove, latency=0.01)
def write_markdown(brief: Any, out_dir: Path) -> Path:
    """Write the brief as Markdown into `out_dir`."""
    return write_whole(path_of(brief, out_dir, ".md"), as_markdown(brief))


@tool(gives="brief_html", effect="write", reconcile=find_page, compensate=remove, latency=0.01)
def write_html(brief: Any, out_dir: Path) -> Path:
    """Write the brief as a page into `out_dir`."""
    return write_whole(path_of(brief, out_dir, ".html"), as_page(brief))
