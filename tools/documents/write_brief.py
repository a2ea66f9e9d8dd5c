"""A brief as a file, Markdown or an HTML page: written whole or not at all, and taken away again when not wanted.

No file is replaced unless `overwrite` is true: two documents of one name make two briefs. The last line of a file, a
comment, says by digests of which document it is and which run wrote it.
"""

import errno
import html
import os
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from orchestrator import NOT_DONE, CallerError, RunContext, Unavailable, tool

PAGE = """<!doctype html>
<html lang="{language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}
small {{ color: #666 }}
</style>
<h1>{title}</h1>
<p><small>{about}</small></p>
<p>{summary}</p>
<p><small>{keywords}</small></p>{notes}
</html>
{mark}
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


def about(brief: Any) -> str:
    """Source, kind and size in one line."""
    pages = getattr(brief, "pages", None)
    size = [f"{int(pages)} pages"] if pages and pages > 1 else []
    partial = ["partial"] if getattr(brief, "partial", False) else []
    return ", ".join([brief.kind, *size, f"{int(brief.words)} words", *partial])


def as_page(brief: Any, mark: str = "") -> str:
    """The brief as an HTML page."""
    notes = "".join(f"\n<p><small>{for_html(note)}</small></p>" for note in getattr(brief, "notes", ()))
    return PAGE.format(
        language=for_html(getattr(brief, "language", None) or "en"),
        title=for_html(brief.title),
        about=for_html(f"{brief.source}, {about(brief)}"),
        summary=for_html(brief.summary),
        keywords=for_html(", ".join(brief.keywords)),
        notes=notes,
        mark=mark,
    )


def as_markdown(brief: Any, mark: str = "") -> str:
    """The brief as Markdown."""
    keywords = ", ".join(for_markdown(word) for word in brief.keywords)
    parts = [
        f"# {for_markdown(brief.title)}",
        f"*{for_markdown(brief.source)}*, {for_markdown(about(brief))}",
        for_markdown(brief.summary),
        f"Keywords: {keywords}",
        *(f"Note: {for_markdown(note)}" for note in getattr(brief, "notes", ())),
    ]
    return "\n\n".join(parts) + f"\n\n{mark}".rstrip() + "\n"


MARK = re.compile(r"<!-- document (\w+), run (\w*) -->\s*\Z")
OUTSIDE: Any = None
"""The context of a call that no run makes."""
MOST_OF_A_NAME = 999
LONGEST_NAME = 150
"""Characters of a file's name, without its suffix: a file system takes 255 bytes."""


def digest(text: str) -> str:
    """A text that cannot be read back, short enough for a comment."""
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest() if text else ""


def mark_of(brief: Any, document: Path | None, key: str) -> str:
    """The comment that says whose brief a file is."""
    return f"<!-- document {digest(str(document.absolute()) if document else brief.source)}, run {digest(key)} -->"


def paths_of(brief: Any, out_dir: Path, suffix: str) -> list[Path]:
    """Where the brief of a source may lie: under its name, else with a number after it."""
    name = re.sub(r"[^\w.-]", "_", brief.source)[:LONGEST_NAME]
    numbers = ["", *(f"-{number}" for number in range(2, MOST_OF_A_NAME))]
    return [out_dir / f"{name}{number}{suffix}" for number in numbers]


def content_of(path: Path) -> tuple[str, str, str] | None:
    """The text of a brief without its mark, its document and its run; `None` where there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ("", "", "") if path.exists() else None
    found = MARK.search(text)
    return (text[: found.start()], found[1], found[2]) if found else (text, "", "")


@contextmanager
def nothing_happened() -> Generator[None]:
    """Say of an error of the disk that no file was written: the caller's where the folder is at fault.

    Raises `Unavailable` for a disk that is full or broken, `CallerError` for a folder that cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE):
            raise Unavailable(f"the brief was not written: {error.strerror}") from None
        raise CallerError(f"the folder for briefs cannot be written to: {error.strerror}") from None


def write_whole(paths: list[Path], text: str, *, overwrite: bool = False) -> Path:
    """Write a text under the first path that is free, so that nobody ever sees a part of it.

    A file that holds the same brief of the same document is left as it is. With `overwrite` the first is replaced.
    """
    draft = paths[0].parent / f".draft-{secrets.token_hex(8)}"
    with nothing_happened():
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("x", encoding="utf-8") as opened:  # the permissions are those that the umask says
                opened.write(text)
            if overwrite:
                os.replace(draft, paths[0])
                return paths[0]
            return place(draft, paths, text)
        finally:
            draft.unlink(missing_ok=True)


def place(draft: Path, paths: list[Path], text: str) -> Path:
    """Give a draft the first free name of these, if none of them holds the same brief of the same document."""
    mine = MARK.search(text)
    for path in paths:
        there = content_of(path)
        if there and mine and there[:2] == (text[: mine.start()], mine[1]):
            return path
        if there is None:
            with suppress(FileExistsError):  # another run was quicker: the next name
                give_name(draft, path)
                return path
    raise FileExistsError(errno.EEXIST, f"there are {len(paths)} briefs of that name")


def give_name(draft: Path, path: Path) -> None:
    """Give a file a name that is free. Raises `FileExistsError` where it is not."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        path.open("x").close()  # a file system without hard links: the name is taken first
        try:
            os.replace(draft, path)
        except OSError:
            path.unlink(missing_ok=True)
            raise


def if_written(paths: list[Path], text: str) -> Any:
    """The path, when a file with just this content lies there."""
    for path in paths:
        there = content_of(path)
        if there is None:
            return NOT_DONE
        if path.read_text(encoding="utf-8") == text:
            return path
    return NOT_DONE


def find_markdown(
    brief: Any, out_dir: Path, document: Path | None = None, overwrite: bool = False, ctx: RunContext = OUTSIDE
) -> Any:
    """The Markdown file, when this run wrote it."""
    text = as_markdown(brief, mark_of(brief, document, ctx.idempotency_key if ctx else ""))
    return if_written(paths_of(brief, out_dir, ".md"), text)


def find_page(
    brief: Any, out_dir: Path, document: Path | None = None, overwrite: bool = False, ctx: RunContext = OUTSIDE
) -> Any:
    """The page, when this run wrote it."""
    text = as_page(brief, mark_of(brief, document, ctx.idempotency_key if ctx else ""))
    return if_written(paths_of(brief, out_dir, ".html"), text)


def remove(path: Path, ctx: RunContext = OUTSIDE) -> None:
    """Take the file away again, if this run wrote it."""
    there = content_of(path)
    if there is not None and there[2] == digest(ctx.idempotency_key if ctx else ""):
        path.unlink(missing_ok=True)


@tool(
    gives="brief_file",
    effect="write",
    reconcile=find_markdown,
    compensate=remove,
    idempotency_key="key",
    latency=0.01,
)
def write_markdown(
    brief: Any, out_dir: Path, document: Path | None = None, overwrite: bool = False, key: str = ""
) -> Path:
    """Write the brief as Markdown into `out_dir`."""
    text = as_markdown(brief, mark_of(brief, document, key))
    return write_whole(paths_of(brief, out_dir, ".md"), text, overwrite=overwrite)


@tool(
    gives="brief_html",
    effect="write",
    reconcile=find_page,
    compensate=remove,
    idempotency_key="key",
    latency=0.01,
)
def write_html(brief: Any, out_dir: Path, document: Path | None = None, overwrite: bool = False, key: str = "") -> Path:
    """Write the brief as a page into `out_dir`."""
    text = as_page(brief, mark_of(brief, document, key))
    return write_whole(paths_of(brief, out_dir, ".html"), text, overwrite=overwrite)
