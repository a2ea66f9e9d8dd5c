"""Real documents become briefs: `python examples/demo.py [FILE...]`, which is what `make demo` does.

Every document is routed through the shipped catalogue. Some are broken on purpose; what that takes is shown, and for
one healed run why. The briefs lie under `out/` as Markdown. Exits with 0 when everything came out as expected, and with
1 when a document that should have worked did not; of your own files, every one may escalate.
"""

import asyncio
import sys
from pathlib import Path

from rich.text import Text

from orchestrator import Goal, Orchestrator, Status
from orchestrator.cli.batch import Batch, run_batch
from orchestrator.cli.runs.why import show_story
from orchestrator.cli.screen import Exit, complain, say
from orchestrator.cli.values import Given
from orchestrator.core.catalog_path import catalog_root
from orchestrator.core.text import plain
from orchestrator.errors import OrchestratorError
from orchestrator.observability.explain.story import tell
from orchestrator.observability.explain.summary import healed, trail

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "examples" / "documents"
STORE = Path(".orchestrator") / "demo.db"
OUT = Path("out")
MAY_ESCALATE = {
    "empty.pdf": "there is nothing in it",
    "minutes-encrypted.pdf": "nobody has its password",
    "bridge-truncated.pdf": "the download stopped early",
}
"""Samples that may end with an escalation, and why."""


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
    say(Text(f"From {len(files)} documents to briefs", "bold"))
    say(Text("Each line is a run: the tools it took, and what it did when one of them failed (✗).", "dim"))
    say()
    batch = Batch(Given({"out_dir": OUT}, "document", tuple(files)))
    async with Orchestrator.from_project(catalog_root(), policy="balanced", store=STORE) as orc:
        with batch:
            await run_batch(orc, Goal("brief_file"), batch, jobs=4)
        _show_one(orc, batch)
    _show_briefs(batch)
    return _verdict(batch, own=own)


def _show_one(orc: Orchestrator, batch: Batch) -> None:
    """The decision trail of the run that healed most."""
    found = [e.outcome for e in batch.ended if e is not None and e.outcome is not None and e.outcome.ok]
    healings = [outcome for outcome in found if healed(trail(outcome.calls))]
    if not healings:
        return
    most = max(healings, key=lambda outcome: (len(outcome.failures), outcome.run_id))
    orc.store.flush()
    say()
    say(Text(f"Why? One healed run, as `orchestrator why {most.run_id} --store {STORE}` tells it", "bold"))
    say()
    show_story(tell(orc.store, most.run_id))


def _show_briefs(batch: Batch) -> None:
    written = [
        Path(str(e.outcome.value)) for e in batch.ended if e is not None and e.outcome is not None and e.outcome.ok
    ]
    say()
    if not written:
        say("No briefs were written.")
        return
    say(Text(f"{len(written)} briefs lie in {plain(OUT.resolve())}/", "bold"))
    for path in sorted(written):
        say(f"  {plain(path)}")


def _verdict(batch: Batch, *, own: bool) -> int:
    """0 when everything came out as expected. What was not expected is told."""
    status = Exit.REACHED
    notes: list[str] = []
    for ended in batch.ended:
        if ended is None or ended.outcome is None:
            complain(f"{ended.name}: {ended.error}" if ended else "a run did not end", status="unexpected")
            status = Exit.UNEXPECTED
        elif ended.outcome.status is Status.ESCALATED and (own or ended.name in MAY_ESCALATE):
            notes.append(f"  {plain(ended.name):<24}{MAY_ESCALATE.get(ended.name, 'no tool could read it')}")
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
    sys.exit(main(sys.argv[1:]))
