"""`report_html`: an audit report of runs as one HTML file without network access: story, decisions, approvals.

The ledgers are embedded unchanged, so the file can be verified by itself (`orchestrator verify FILE`).
"""

import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from orchestrator.core.conventions import __version__
from orchestrator.core.enums import DecisionKind
from orchestrator.core.text import counted, duration, listed, plain, usd
from orchestrator.observability.explain.model import EntryKind, StoryEntry
from orchestrator.observability.explain.story import Story, read_story
from orchestrator.store.ledger.verify import Verification, export, verify_run
from orchestrator.store.protocol import Store
from orchestrator.store.rows import RunRow, Seal

from .signature import Signature, sign

FORMAT: Final = "orchestrator-report/1"
_PEOPLE: Final = (EntryKind.PERSON, EntryKind.CHANGE)
_LEDGER: Final = re.compile(r'<script type="application/jsonl" data-run="[^"]*">\n(.*?)</script>', re.DOTALL)
_SIGNATURE: Final = re.compile(r'<script type="application/json" data-signature="[^"]*">(.*?)</script>', re.DOTALL)

_ESCAPED: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u003c")
"""The escape of `<` in an embedded ledger, so that no record can end the HTML element."""

STYLE: Final = """
:root{color-scheme:light}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;
color:#1b1e23;background:#fff}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #ccd}
table{border-collapse:collapse;width:100%;margin:.5rem 0}th,td{text-align:left;vertical-align:top;padding:.25rem .6rem;
border-bottom:1px solid #e3e6ec;overflow-wrap:anywhere}th{font-weight:600}.n{text-align:right;white-space:nowrap}
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}.ok{background:#e5f4e8;border:1px solid #2b7a3d}
.bad{background:#fbe6e4;border:2px solid #b3261e}.ok,.bad{padding:.6rem .9rem;border-radius:.4rem}.won{font-weight:600}
.note{color:#4d5663}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#4d5663}dd{margin:0}
article{break-before:page}article:first-of-type{break-before:auto}tr{break-inside:avoid}
@media print{body{margin:0;max-width:none;font-size:11px}}
"""

PROVEN: Final = (
    "What is proven: each record holds the hash of the one before, so a record of a run that was changed, removed, "
    "added or moved after the head was noted is found. A head that was kept elsewhere (in a trace, a signed report, "
    "another system) shows that the record is the one of that time. What is not proven: that what was recorded is "
    "true; that nobody with write access rewrote the whole store before a head was kept elsewhere; when it happened, "
    "beyond the clock of the machine."
)


@dataclass(frozen=True, slots=True)
class _Run:
    row: RunRow
    story: Story
    verification: Verification
    seal: Seal | None
    signature: Signature | None
    ledger: str


def report_html(
    store: Store, rows: Sequence[RunRow], *, now: float, key_file: Path | None = None, title: str = ""
) -> tuple[str, bool]:
    """The report of these runs, and whether every record is complete and unchanged.

    `key_file` is an Ed25519 private key (PEM) that signs each head. Raises `InputError` for an invalid key.
    """
    runs = [_read(store, row, now, key_file) for row in rows]
    whole = all(run.verification.ok for run in runs)
    name = title or (f"Run {rows[0].run_id}" if len(rows) == 1 else counted(len(rows), "run"))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta http-equiv=\"content-security-policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f'<meta name="generator" content="{FORMAT} orchestrator {_text(__version__)}">',
        f"<title>Report: {_text(name)}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>Report: {_text(name)}</h1>",
        f'<p class="note">Made {_time(now)} by orchestrator {_text(__version__)}.</p>',
        _verdict(runs, whole),
        *(_index(runs) if len(runs) > 1 else ()),
        *(_article(run) for run in runs),
        f'<h2>What this report proves</h2><p class="note">{_text(PROVEN)}</p>',
        "</main>",
        *(_embedded(run) for run in runs),
        "</body></html>\n",
    ]
    return "\n".join(parts), whole


def ledgers_of(text: str) -> list[list[str]]:
    """The lines of each ledger that a report embeds, as `verify_export` reads them."""
    return [[_ESCAPED.sub(r"\1<", line) for line in found.split("\n")[:-1]] for found in _LEDGER.findall(text)]


def signatures_of(text: str) -> list[Signature]:
    """The signatures that a report embeds."""
    return [Signature(**json.loads(found)) for found in _SIGNATURE.findall(text)]


def _read(store: Store, row: RunRow, now: float, key_file: Path | None) -> _Run:
    verification = verify_run(store, row.run_id)
    seal = next(iter(store.seals(run_id=row.run_id)), None)
    signature = None
    if key_file is not None:
        statement: dict[str, Any] = {
            "format": FORMAT,
            "run": row.run_id,
            "head": verification.head,
            "count": verification.count,
            "seal": seal.hash if seal else "",
            "whole": verification.ok,
            "signed_at": now,
        }
        signature = sign(statement, key_file)
    ledger = "\n".join(export(store, row.run_id))
    return _Run(row, read_story(store, row.run_id), verification, seal, signature, ledger)


def _embedded(run: _Run) -> str:
    ledger = run.ledger.replace("<", "\\u003c")
    parts = [f'<script type="application/jsonl" data-run="{_text(run.row.run_id)}">\n{ledger}\n</script>']
    if run.signature is not None:
        data = json.dumps(run.signature.to_json()).replace("<", "\\u003c")
        parts.append(
            f'<script type="application/json" data-signature="{_text(run.row.run_id)}">{data}</script>',
        )
    return "\n".join(parts)


def _verdict(runs: Sequence[_Run], whole: bool) -> str:
    if whole:
        records = sum(run.verification.count for run in runs)
        return f'<p class="ok">✓ Verified: {counted(records, "record")}, whole and unchanged.</p>'
    changed = [run for run in runs if not run.verification.ok]
    problems = "".join(
        f"<li>{_text(run.row.run_id)}: {_text(problem)}</li>"
        for run in changed
        for problem in run.verification.problems[:50]
    )
    return (
        f'<div class="bad" role="alert"><strong>✗ The store was changed: {counted(len(changed), "run")} '
        f"{'is' if len(changed) == 1 else 'are'} not as written.</strong><ul>{problems}</ul></div>"
    )


def _index(runs: Iterable[_Run]) -> list[str]:
    rows = "".join(
        f'<tr><td><a href="#{_anchor(run.row)}">{_text(run.row.run_id)}</a></td><td>{_text(run.row.goal)}</td>'
        f"<td>{_text(run.row.status)}</td><td>{_time(run.row.started)}</td>"
        f'<td class="n">{usd(run.story.cost)}</td><td>{"whole" if run.verification.ok else "CHANGED"}</td></tr>'
        for run in runs
    )
    return [
        "<h2>Runs</h2><table><thead><tr><th>Run</th><th>Goal</th><th>Status</th><th>Started</th>"
        f'<th class="n">Spent</th><th>Record</th></tr></thead><tbody>{rows}</tbody></table>'
    ]


def _article(run: _Run) -> str:
    parts = [
        f'<article id="{_anchor(run.row)}"><h2>Run {_text(run.row.run_id)}</h2>',
        _facts(run),
        "<h3>What happened</h3>",
        _entries(run.story.entries),
        "<h3>Decisions</h3>",
        *(_decision(entry) for entry in run.story.entries if entry.decision),
        _failures(run.story),
        _people(run.story),
        _effects(run.story),
        "<h3>Verification and anchor</h3>",
        _anchored(run),
        "</article>",
    ]
    return "\n".join(part for part in parts if part)


def _facts(run: _Run) -> str:
    row, story = run.row, run.story
    fields = {
        "Wanted": listed(story.wanted),
        "Would also do": "; ".join(listed(keys) for keys in story.lesser),
        "Outcome": f"{story.status}: {listed(story.goal)}",
        "Why not": story.impasse or "",
        "Given": listed(story.inputs) or "nothing",
        "Policy": "; ".join((story.policy, *story.asked)),
        "Labels": ", ".join(f"{key}={value}" for key, value in row.labels.items()),
        "Started": _time(row.started),
        "Ended": _time(row.ended) if row.ended else "",
        "Planned price": usd(story.price) if story.price is not None else "",
        "Spent": usd(story.cost),
        "Model calls to decide": str(story.llm_calls),
        "Parent": story.parent or "",
        "Children": listed(story.children),
        "Trace": story.trace_id,
    }
    return "<dl>" + "".join(f"<dt>{k}</dt><dd>{_text(v)}</dd>" for k, v in fields.items() if v) + "</dl>"


def _entries(entries: Iterable[StoryEntry]) -> str:
    rows = "".join(
        f'<tr><td class="n">{duration(entry.at)}</td><td>{_text(entry.kind)}</td><td>{_text(entry.text)}</td></tr>'
        for entry in entries
    )
    head = '<thead><tr><th class="n">After</th><th>Kind</th><th>What</th></tr></thead>'
    return f"<table>{head}<tbody>{rows}</tbody></table>"


def _decision(entry: StoryEntry) -> str:
    if not entry.candidates:
        return ""
    rows: list[str] = []
    for each in entry.candidates:
        won = ' class="won"' if each.name == entry.chosen else ""
        price = "not usable" if each.price is None else usd(each.price)
        facts = each.facts
        made = "" if facts is None else f"{usd(facts.money)}, {duration(facts.latency)}, works {facts.success:.0%}"
        rows.append(
            f'<tr{won}><td>{_text(each.name)}</td><td class="n">{price}</td><td>{_text(each.reason or made)}</td></tr>'
        )
    head = '<thead><tr><th>Candidate</th><th class="n">Price</th><th>Why, or made of</th></tr></thead>'
    return (
        f"<table><caption>{_text(entry.decision)} {_text(entry.decided)}: {_text(entry.text)}</caption>{head}"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _failures(story: Story) -> str:
    if not story.failures:
        return ""
    rows = "".join(
        f"<tr><td>{_text(each.id)}</td><td>{_text(each.tool)}</td><td>{_text(each.kind)}</td>"
        f"<td>{_text(each.message)}</td><td>"
        + (f"{_text(each.answer.decision)} {_text(each.answer.kind)}" if each.answer else "none")
        + "</td></tr>"
        for each in story.failures
    )
    head = "<thead><tr><th>Failure</th><th>Tool</th><th>Class</th><th>Message</th><th>Answered by</th></tr></thead>"
    return f"<h3>Failures and their answers</h3><table>{head}<tbody>{rows}</tbody></table>"


def _people(story: Story) -> str:
    """The section about people: questions, answers, approvals and provided values."""
    rows = [
        f"<tr><td>{_text(each.question)}</td><td>{_text(each.reply or 'no answer yet')}</td>"
        f"<td>{_text(each.by)}</td></tr>"
        for each in story.escalations
        if each.question
    ]
    answered = [
        f"<li>{duration(entry.at)}: {_text(entry.text)}</li>"
        for entry in story.entries
        if entry.kind in _PEOPLE or entry.decided is DecisionKind.RESUME
    ]
    if not rows and not answered:
        return "<h3>People</h3><p>No person was asked, approved or provided anything.</p>"
    head = "<thead><tr><th>Asked</th><th>Answer</th><th>By</th></tr></thead>"
    asked = f"<table>{head}<tbody>{''.join(rows)}</tbody></table>" if rows else ""
    return f"<h3>People: questions, approvals and who gave them</h3>{asked}<ul>{''.join(answered)}</ul>"


def _effects(story: Story) -> str:
    undone = "".join(f"<li>{_text(name)} was undone</li>" for name in story.compensated)
    effects_left = "".join(f"<li>{_text(name)} still stands, or may stand</li>" for name in story.uncompensated)
    return (
        f"<h3>Effects that the outcome does not use</h3><ul>{undone}{effects_left}</ul>"
        if undone or effects_left
        else ""
    )


def _anchored(run: _Run) -> str:
    found, seal, signed = run.verification, run.seal, run.signature
    fields = {
        "Record": "whole and unchanged" if found.ok else "CHANGED",
        "Records": str(found.count),
        "Head": found.head,
        "Seal": f"number {seal.n} in the chain over runs, {seal.hash}" if seal else "none: the run has not ended",
        "Signed statement": signed.statement if signed else "",
        "Signature (Ed25519)": signed.signature if signed else "not signed",
        "Public key": signed.public_key if signed else "",
    }
    return "<dl>" + "".join(f"<dt>{k}</dt><dd><code>{_text(v)}</code></dd>" for k, v in fields.items() if v) + "</dl>"


def _anchor(row: RunRow) -> str:
    return "run-" + html.escape(re.sub(r"[^A-Za-z0-9_.-]", "_", row.run_id))


def _text(value: Any) -> str:
    return html.escape(plain(str(value)) if value is not None else "")


def _time(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "-"


__all__ = ["ledgers_of", "report_html", "signatures_of"]
