"""Documents to briefs by the catalogue, beside a plain loop over its readers, pypdf, pdfium and markitdown.

    python benchmarks/documents.py [DIR] [--jobs N]
    python benchmarks/documents.py --readability DIR
    python benchmarks/documents.py --speed [DIR] [--rounds N]

DIR holds any files (default: `../shared/data/documents`, else the samples). Each way of reading is a process of its
own. Told of each: files of which a text came out, of these the implausible ones, seconds of the clock and of the
processor, the largest memory of a process. markitdown is measured where it is installed.

`--readability` takes the folder `test/test-pages` of github.com/mozilla/readability: pages with reference titles and
articles. Told: titles that are the reference's, and summaries all of whose sentences stand in the reference article.

`--speed` reads the PDFs of DIR with one job, with two jobs, and by the plain loop in two processes, in turns. Told:
medians of the seconds by the clock, the start of the workers included, and their ratios.
"""

import argparse
import asyncio
import html
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from orchestrator import Goal, Orchestrator, Tool
from orchestrator.cli.batch import largest_first
from orchestrator.core.process.installation import catalog_root
from orchestrator.engine.processes import processes
from orchestrator.integrations.documents import implausibility
from orchestrator.observability.explain.summary import healed, trail
from orchestrator.project import load_project

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data" / "documents"
LONGEST = 3600


@dataclass
class Result:
    """What one way of reading made of the files."""

    text: int = 0
    implausible: int = 0
    healed: int = 0
    escalated: int = 0
    broken: int = 0
    """Runs that raised, and files at which a library did."""
    wall: float = 0.0


def note(result: Result, text: str | None) -> None:
    """Count a text."""
    if text is None or not any(map(str.isalnum, text)):
        result.escalated += 1
        return
    result.text += 1
    result.implausible += implausibility(text) is not None


async def by_catalogue(files: list[Path], jobs: int) -> Result:
    """Goal `brief+text` over all files."""
    result, turns = Result(), asyncio.Semaphore(jobs)
    async with Orchestrator.from_project(catalog_root(), policy="documents") as orc:

        async def one(file: Path) -> None:
            async with turns:
                try:
                    outcome = await orc.run(Goal(("brief", "text")), {"document": file})
                except Exception:
                    result.broken += 1
                    return
            note(result, outcome.value["text"] if outcome.ok else None)
            result.healed += outcome.ok and healed(trail(outcome.calls))

        began = time.monotonic()
        await asyncio.gather(*map(one, files))
        result.wall = time.monotonic() - began
    processes().close()
    return result


TOOLS: dict[str, Tool] = {}


def plain_brief(file: Path) -> str | None:
    """The same functions in the order of their prices, without the framework."""
    if not TOOLS:
        project = load_project(catalog_root())
        TOOLS.update({tool.name: tool for tool in (*project.tools, *project.agents)})
    kind = TOOLS["detect_kind"](document=file)
    readers = [t for t in TOOLS.values() if {"text", "reading"} <= set(t.gives) and t.when and t.when(kind=kind)]
    for reader in sorted(readers, key=lambda t: 0.001 * t.planned_latency() + 0.1 * t.risk):
        with suppress(Exception):
            output = reader(document=file, kind=kind)
            assert reader.ensure is not None
            reader.ensure(output)
            summary = TOOLS["extractive_summariser"](text=output["text"])
            TOOLS["compose_brief"](document=file, kind=kind, summary=summary, **output)
            return str(output["text"])
    return None


def by_plain_loop(files: list[Path], jobs: int) -> Result:
    """A pool of as many processes as jobs."""
    result, began = Result(), time.monotonic()
    with ProcessPoolExecutor(jobs) as pool:
        for text in pool.map(plain_brief, files):
            note(result, text)
    result.wall = time.monotonic() - began
    return result


def pypdf_text(file: Path) -> str:
    """pypdf alone."""
    from pypdf import PdfReader

    return "\n".join(page.extract_text() for page in PdfReader(file).pages)


def pdfium_text(file: Path) -> str:
    """pdfium alone."""
    import pypdfium2

    library: Any = pypdfium2
    pdf = library.PdfDocument(file)
    return "\n".join(pdf[number].get_textpage().get_text_range(errors="replace") for number in range(len(pdf)))


def markitdown_text(file: Path) -> str:
    """markitdown alone."""
    library: Any = __import__("markitdown")
    return str(library.MarkItDown().convert(str(file)).text_content)


def by_library(read: Callable[[Path], str], files: list[Path], jobs: int) -> Result:
    """One file after another."""
    result, began = Result(), time.monotonic()
    for file in files:
        try:
            note(result, read(file))
        except Exception:
            result.broken += 1
    result.wall = time.monotonic() - began
    return result


WAYS: dict[str, Callable[[list[Path], int], Result]] = {
    "catalogue": lambda files, jobs: asyncio.run(by_catalogue(files, jobs)),
    "plain loop": by_plain_loop,
    "pypdf": lambda files, jobs: by_library(pypdf_text, files, jobs),
    "pdfium": lambda files, jobs: by_library(pdfium_text, files, jobs),
    "markitdown": lambda files, jobs: by_library(markitdown_text, files, jobs),
}
PDF_ALONE = ("pypdf", "pdfium")


def measure(way: str, files: list[Path], jobs: int) -> dict[str, Any] | None:
    """One way of reading in a process of its own; `None` where its library is missing or it died."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "files"
        listed.write_text("\n".join(map(str, files)))
        command = [sys.executable, __file__, "--way", way, "--files", str(listed), "--jobs", str(jobs)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        print(f"{way}: ended with status {done.returncode}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found


def compare(folder: Path, jobs: int) -> None:
    """The table."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".tsv")
    pdfs = [file for file in files if file.suffix.lower() == ".pdf"]
    print(f"{len(files)} files in {folder}, of which {len(pdfs)} PDFs; {jobs} jobs; load {os.getloadavg()[0]:.1f}")
    heads = ("text", "garbled", "healed", "none", "broken", "s", "cpu s", "MB")
    print(f"{'':<16}{'files':>6}" + "".join(f"{head:>8}" for head in heads))
    for way in WAYS:
        if way == "markitdown" and find_spec("markitdown") is None:
            continue
        mine = pdfs if way in PDF_ALONE else files
        found = measure(way, mine, jobs)
        if found:
            numbers = [found[name] for name in ("text", "implausible", "healed", "escalated", "broken")]
            print(
                f"{way:<16}{len(mine):>6}"
                + "".join(f"{number:>8}" for number in numbers)
                + f"{found['wall']:>8.1f}{found['cpu']:>8.1f}{found['memory']:>8.0f}"
            )


def compare_speed(folder: Path, rounds: int) -> None:
    """One job, two jobs and the plain loop over the same PDFs, in turns."""
    files = sorted(file for file in folder.rglob("*.pdf") if file.is_file())
    ways = {"one job": ("catalogue", 1), "two jobs": ("catalogue", 2), "plain loop": ("plain loop", 2)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    print(f"{len(files)} PDFs in {folder}; {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}", flush=True)
    for _ in range(rounds):
        for name, (way, jobs) in ways.items():
            found = measure(way, files, jobs)
            seconds[name].append(found["wall"] if found else float("nan"))
            print(f"{name:<12}{seconds[name][-1]:>8.1f} s{found['cpu'] if found else 0:>8.1f} cpu s", flush=True)
    one, two, plain = (median(taken) for taken in seconds.values())
    print(f"two jobs are {one / two:.2f}x as fast as one; they take {two / plain:.2f}x of the plain loop")


def folded(text: str) -> str:
    """Words alone, for comparisons."""
    return re.sub(r"\W+", " ", text).casefold().strip()


def judge(folder: Path) -> None:
    """Titles and summaries beside reference ones."""
    pages = titles = summaries = read = 0
    for page in sorted(path.parent for path in folder.glob("*/source.html")):
        reference = json.loads((page / "expected-metadata.json").read_text(encoding="utf-8"))
        if not reference.get("readerable", True):
            continue
        pages += 1
        brief = brief_of(page / "source.html")
        if brief is None:
            continue
        read += 1
        title, wanted = folded(brief.title), folded(reference.get("title") or "")
        near = SequenceMatcher(None, title, wanted).ratio() > 0.85
        part = bool(title) and (title in wanted or wanted in title) and 2 * min(len(title), len(wanted)) > len(wanted)
        titles += near or part
        source = (page / "expected.html").read_text(encoding="utf-8")
        article = folded(html.unescape(re.sub(r"<[^>]+>", " ", source)))
        sentences = [folded(sentence) for sentence in re.split(r"(?<=[.!?])\s+| …|\s·\s", brief.summary)]
        summaries += all(sentence[:60] in article for sentence in sentences if sentence)
    print(f"{pages} pages: {read} briefs, {titles} titles and {summaries} summaries as the reference has them")


def brief_of(file: Path) -> Any:
    """The brief of one page by the first reader that reads it."""
    plain_brief(file)
    for name in ("trafilatura", "whole_page"):
        with suppress(Exception):
            output = TOOLS[name](document=file, kind="html")
            ensure = TOOLS[name].ensure
            assert ensure is not None
            ensure(output)
            summary = TOOLS["extractive_summariser"](text=output["text"])
            return TOOLS["compose_brief"](document=file, kind="html", summary=summary, **output)
    return None


def main() -> None:
    """Compare, judge, or be one of the ways."""
    parser = argparse.ArgumentParser(description="Documents to briefs, beside other ways of reading them.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=SHARED if SHARED.is_dir() else ROOT / "examples/documents"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--readability", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--files", type=Path)
    asked = parser.parse_args()
    if asked.way:
        listed = [Path(line) for line in asked.files.read_text().splitlines()]
        files = [listed[place] for place in largest_first(listed)] if asked.jobs > 1 else listed
        found = asdict(WAYS[asked.way](files, asked.jobs))
        largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(json.dumps(found | {"memory": largest / 1024}))
    elif asked.readability:
        judge(asked.readability)
    elif asked.speed:
        compare_speed(asked.folder, asked.rounds)
    else:
        compare(asked.folder, asked.jobs)


if __name__ == "__main__":
    main()
