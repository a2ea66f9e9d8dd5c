"""Real documents become briefs: `python examples/demo.py [FILE...]`, which is what `make demo` does.

Every document is routed through the shipped catalogue. Some are broken on purpose; what that takes is shown, and of one
healed run where it healed and the brief. The briefs lie under `out/` as Markdown. Exits with 0 when everything came out
as expected, and with 1 when a document that should have worked did not; of your own files, every one may escalate.
"""

import asyncio
import os
import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

from rich.text import Text

from orchestrator import Goal, Orchestrator, Outcome, Status
from orchestrator.cli.batch import Batch, Ended, run_batch
from orchestrator.cli.screen import Exit, complain, say
from orchestrator.cli.values import Given
from orchestrator.core.process.installation import catalog_root
from orchestrator.core.text import counted, plain
from orchestrator.errors import OrchestratorError
from orchestrator.observability.explain.summary import healed, trail

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "examples" / "documents"
STORE = Path(".orchestrator") / "demo.db"
OUT = Path("out")
SHOWN = "mariners-scanned.pdf"
"""The sample whose brief is shown: a picture of a page, which no reader of text can read."""
MAY_ESCALATE = ("empty.pdf", "minutes-encrypted.pdf", "bridge-truncated.pdf")
"""Samples that no reader can read."""
SAID = (
    ("encrypted, and the password is wrong", "the password that was given is not its password"),
    ("encrypted", "nobody has its password"),
    ("protected", "its seller has locked it"),
    (" is empty", "there is nothing in it"),
    ("old format", None),
    ("archive of other files", None),
    ("no document of a kind", None),
    ("OCR is not sure", "not even OCR could make out its words"),
    ("garbled", "its text comes out as garbage, whoever reads it"),
    ("no sound", "it is damaged: a part of the file is missing or overwritten"),
    ("MB", "it takes more memory than a document may"),
    ("worker process", "it makes the programs crash that read it"),
    ("no answer within", "reading it takes too long"),
    ("no words", "there is not a word in it"),
    ("not installed", "what could read it is not installed"),
)
"""A part of a failure's message -> what it means, in the words of a person; `None`: the message says it itself."""


def names_in(text: str) -> list[str]:
    """File names in a line of words: as many words as make the name of a file that there is belong to it."""
    if Path(text.strip()).is_file():
        return [text.strip()]
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    names: list[str] = []
    while words:
        most = next((n for n in range(len(words), 1, -1) if Path(" ".join(words[:n])).is_file()), 1)
        names.append(" ".join(words[:most]))
        words = words[most:]
    return names


def main(names: list[str]) -> int:
    """Run the demo over these files, or over the samples; returns the exit status."""
    own = bool(names)
    files = [Path(name) for name in names] if own else sorted(p for p in SAMPLES.iterdir() if p.is_file())
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        complain(f"There is no file {missing[0]!r}.")
        return Exit.BAD_INPUT
    for path in STORE.parent.glob(f"{STORE.name}*"):
        path.unlink()
    try:
        return asyncio.run(_demo(files, own=own))
    except OrchestratorError as error:
        complain(str(error))
        return Exit.UNEXPECTED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


async def _demo(files: list[Path], *, own: bool) -> int:
    say(Text(f"From {counted(len(files), 'document')} to briefs", "bold"))
    say(Text("Each line is a run: the tools it took, and what it did when one of them failed (✗).", "dim"))
    say()
    batch = Batch(Given({"out_dir": OUT}, "document", tuple(files)))
    async with Orchestrator.from_project(catalog_root(), policy="documents", store=STORE) as orc:
        with batch:
            await run_batch(orc, Goal("brief_file"), batch, jobs=4)
        _show_healing(orc, batch)
    _show_briefs(batch)
    return _verdict(batch, own=own)


def _reached(batch: Batch) -> list[Ended]:
    return [e for e in batch.ended if e is not None and e.outcome is not None and e.outcome.ok]


def _show_healing(orc: Orchestrator, batch: Batch) -> None:
    """The run that healed most: where it healed, the brief that came out of it, and what is on record."""
    healings = [ended for ended in _reached(batch) if ended.outcome and healed(trail(ended.outcome.calls))]
    if not healings:
        return
    most = max(healings, key=lambda e: (e.name == SHOWN, len(e.outcome.failures) if e.outcome else 0, e.name))
    assert most.outcome is not None
    say()
    say(Text(f"Where {plain(most.name)} healed", "bold"))
    say()
    for line in picture_of(most.outcome):
        say(line)
    say()
    say(Text("The brief that came out of it", "bold"))
    say()
    for line in brief_lines(Path(str(most.outcome.value))):
        say(line)
    orc.store.flush()
    say()
    told = f"{program()} why {most.outcome.run_id} --store {STORE}"
    say(Text(f"Every decision is on record: `{told}`", "dim"))


def program() -> str:
    """The command as it can be pasted: by its path where it is not found by its name."""
    if shutil.which("orchestrator"):
        return "orchestrator"
    beside = Path(sys.executable).parent / "orchestrator"
    try:
        return str(beside.relative_to(Path.cwd()))
    except ValueError:
        return str(beside)


def brief_lines(path: Path) -> list[Text]:
    """A brief for a terminal: its title, and its paragraphs wrapped."""
    source = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8"))
    lines: list[Text] = []
    for paragraph in filter(None, map(str.strip, source.split("\n\n"))):
        shown = re.sub(r"\\(\W|_)", r"\1", paragraph.replace("*", ""))
        style = "bold" if shown.startswith("# ") else ""
        wrapped = textwrap.wrap(plain(shown.removeprefix("# "), 2000), 88)
        lines += [Text(f"  {line}", style) for line in wrapped] + [Text()]
    return lines[:-1]


def picture_of(outcome: Outcome[Any]) -> list[Text]:
    """The run from top to bottom: a line for each call, those that failed beside the way."""
    failed = {failure.call_id: failure for failure in outcome.failures}
    width = max((len(call.tool) for call in outcome.calls), default=0)
    lines: list[Text] = []
    before = ""
    for call in outcome.calls:
        failure = failed.get(call.call_id)
        name = call.tool.ljust(width)
        if failure is None:
            lines.append(Text.assemble(("  │ ", "dim"), ("✓ ", "green"), name, (f"  {call.seconds:.2f} s", "dim")))
            continue
        said = plain(failure.message, 100)
        lines.append(
            Text.assemble(
                ("  ├─", "dim"), ("✗ ", "red"), name, ("  " + said if said != before else "  the same", "dim")
            )
        )
        before = said
    lines.append(Text("  ▼", "dim"))
    return lines


def _show_briefs(batch: Batch) -> None:
    written = [Path(str(ended.outcome.value)) for ended in _reached(batch) if ended.outcome]
    say()
    if not written:
        say("No briefs were written.")
        return
    say(Text(f"{counted(len(written), 'brief')} in {plain(OUT.resolve())}/", "bold"))
    for path in sorted(written):
        say(f"  {plain(path)}")


def meaning_of(outcome: Outcome[Any]) -> str:
    """Why no reader could read a document, in plain words."""
    messages = [failure.message for failure in outcome.failures]
    for part, meaning in SAID:
        for message in messages:
            if part in message:
                return meaning or plain(message, 200)
    return "no tool could read it"


def _verdict(batch: Batch, *, own: bool) -> int:
    """0 when everything came out as expected. What was not expected is told."""
    status = Exit.REACHED
    notes: list[str] = []
    for ended in batch.ended:
        if ended is None or ended.outcome is None:
            complain(f"{ended.name}: {ended.error}" if ended else "a run did not end", status="unexpected")
            status = Exit.UNEXPECTED
        elif ended.outcome.status is Status.ESCALATED and (own or ended.name in MAY_ESCALATE):
            notes.append(f"  {plain(ended.name):<24} {meaning_of(ended.outcome)}")
        elif not ended.outcome.ok:
            complain(f"{ended.name}: {ended.outcome.status}", status="unexpected")
            status = Exit.UNEXPECTED
    if notes:
        say()
        say(Text("Escalated, as it should be when no tool can help", "bold"))
        for note in notes:
            say(note)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or names_in(os.environ.get("DOCS", ""))))
