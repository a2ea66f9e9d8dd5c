"""A brief as a Markdown file: written whole or not at all, and taken away again when it is not wanted."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from orchestrator import NOT_DONE, tool


def render(brief: Any) -> str:
    """The brief as Markdown; what comes from the document cannot become markup."""
    keywords = ", ".join(escape(word) for word in brief.keywords)
    about = f"*{escape(brief.source)}*, {escape(brief.kind)}, {brief.words} words"
    return f"# {escape(brief.title)}\n\n{about}\n\n{escape(brief.summary)}\n\nKeywords: {keywords}\n"


def escape(text: str) -> str:
    """Text in one line, without control characters and with Markdown's and HTML's own characters made harmless."""
    flat = "".join(character for character in " ".join(text.split()) if character.isprintable())
    inline = re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", flat)
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", inline)


def path_of(brief: Any, out_dir: Path) -> Path:
    """Where the brief of a source lies."""
    return out_dir / (re.sub(r"[^\w.-]", "_", brief.source) + ".md")


def find(brief: Any, out_dir: Path) -> Any:
    """The path, when a file with just this content lies there."""
    path = path_of(brief, out_dir)
    there = path.is_file() and path.read_text(encoding="utf-8") == render(brief)
    return path if there else NOT_DONE


def remove(path: Path) -> None:
    """Take the file away again."""
    path.unlink(missing_ok=True)


@tool(gives="brief_file", effect="write", reconcile=find, compensate=remove, latency=0.01)
def write_markdown(brief: Any, out_dir: Path) -> Path:
    """Write the brief into `out_dir`."""
    out_dir.mkdir(parents=True, exist_ok=True)
    path = path_of(brief, out_dir)
    with tempfile.NamedTemporaryFile("w", dir=out_dir, prefix=".draft-", delete=False, encoding="utf-8") as draft:
        try:
            draft.write(render(brief))
            draft.close()
            os.replace(draft.name, path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
    return path
