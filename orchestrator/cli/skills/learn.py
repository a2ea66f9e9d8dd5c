"""`orchestrator skills learn`: skills found in recorded runs."""

import asyncio
from typing import Annotated

import typer

from orchestrator.cli import options
from orchestrator.cli.invocation import command
from orchestrator.cli.screen import complain, say, write_json
from orchestrator.cli.session import existing
from orchestrator.core.errors import DefinitionError, InputError
from orchestrator.core.text import counted, plain
from orchestrator.observability.learn_skills import MOST_RUNS, SkillSearch, SkillsLearned, learn_skills
from orchestrator.selection.learning.proposal import Proposal
from orchestrator.store import open_store


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("learn")(_learn)


def _learn(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A chat model that proposes splits; it is shown texts of the work. The outcomes decide.",
        ),
    ] = None,
    keep_texts: Annotated[
        bool, typer.Option("--keep-texts", help="Keep words and examples of the work in the handbook.")
    ] = False,
    runs: Annotated[
        int, typer.Option("--runs", metavar="N", min=1, help="SkillSearch many of the newest runs to read.")
    ] = (MOST_RUNS),
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Find skills in recorded runs: discover them in what work was about, merge and split by how it turned out.

    What work was about is on record only where the values of runs are kept (`keep_values = true` in the policy).
    """
    if not existing(store):
        raise InputError(f"There is no store at {store!r} yet: nothing has been run here. --store names another one.")
    if model is not None and not model.strip():
        raise DefinitionError("--model names a chat model, such as openai:gpt-5-mini.")
    how = SkillSearch(
        model=model, keep_texts=keep_texts, runs=runs, on_problem=lambda problem: complain(problem, status="warning")
    )
    opened = open_store(store)
    try:
        learned = asyncio.run(learn_skills(opened, how, dry_run=dry_run))
    finally:
        opened.close()
    if as_json:
        write_json(_json(learned))
    else:
        _show_learned(learned, dry_run=dry_run)


def _json(learned: SkillsLearned) -> dict[str, object]:
    proposal, work = learned.proposal, learned.work
    return {
        "schema": "orchestrator.learned/1",
        "version": learned.handbook.version,
        "stored": learned.stored,
        "read": {"runs": work.runs, "steps": work.steps, "texts": work.texts, "judged": work.judged},
        "evidence": [{"id": key, "text": text} for key, text in proposal.evidence],
        "words": {skill: list(words) for skill, words in proposal.groups.items()},
        "changes": [change.model_dump(mode="json") for change in proposal.changes],
        "notes": list(proposal.notes),
    }


def _show_learned(learned: SkillsLearned, *, dry_run: bool) -> None:
    proposal, work = learned.proposal, learned.work
    if not work.why_nothing:
        read = f"{counted(work.runs, 'run')}, {counted(work.steps, 'step')} of agents"
        say(f"Read {read}: {work.texts} with a text, {work.judged} judged.")
    for note in proposal.notes:
        say(plain(note, 500))
    if not proposal.changed:
        say("Nothing is to be changed.")
        return
    for key, text in proposal.evidence:
        say(f"{plain(key)}: {plain(text, 500)}")
    for skill, words in proposal.groups.items():
        gone = proposal.after.skills[skill].merged_into
        part = f" (now part of {plain(gone)})" if gone else ""
        say(f"  {plain(skill)}{part} is about: {plain(', '.join(words), 200)}")
    if dry_run:
        _diff(proposal)
        say(f"Version {proposal.before.version} stays; without --dry-run this becomes the next one.")
    else:
        back = command("skills", "rollback", str(proposal.before.version), but=("--project", "--policy"))
        say(f"Version {learned.handbook.version}; `{back}` goes back.")


def _diff(proposal: Proposal) -> None:
    say("What would change:")
    for change in proposal.changes:
        say(f"  {plain(str(change), 500)}")
