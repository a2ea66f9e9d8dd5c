"""Incidents of a night, out of log files: `python examples/incident_triage/run.py`.

The errors are grouped; each group is classified by examples, looked up among past incidents, and given to the agent
with the best competence and price for its kind; a report says what to do. No model is needed. Selection matters: an
expert knows one field and costs five times as much as the generalist, who remembers what helped the last time.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import Decided, DecisionKind, Event, Orchestrator, Outcome
from orchestrator.core.decision import Decision
from orchestrator.core.process.installation import catalog_root
from orchestrator.project import load_project
from orchestrator.selection import Demand
from orchestrator.testing import fail

HERE = Path(__file__).parent
BORROWED = (
    "bayes_classifier",
    "nearest_classifier",
    "shape_grouper",
    "likeness_grouper",
    "report_writer",
    "query_sqlite",
)
"""What is taken from the catalogue."""
EXAMPLES = {
    "network": ["connection to host timed out", "dns lookup failed for host"],
    "database": ["too many connections in use", "deadlock detected on table, transaction rolled back"],
    "disk": ["no space left on device"],
    "code": ["TypeError in handler", "KeyError in handler"],
}
PAST = (
    ("2024-01-09", "disk", "snapshots that nobody deletes", "delete snapshots older than a week"),
    ("2023-11-30", "disk", "a log that is not rotated", "rotate the log"),
    ("2024-02-02", "database", "a forgotten report that holds connections", "end the report"),
    ("2024-02-20", "network", "a switch that was restarted", "wait for it"),
    ("2023-12-12", "code", "a handler that takes a missing row for granted", "return 404 for a missing row"),
)


@dataclass
class Selections:
    """A sink that keeps every decision about who does a step, those of child runs too."""

    decisions: list[Decision] = field(default_factory=list[Decision])

    def on_event(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, Decided) and event.decision.kind is DecisionKind.SELECT:
            self.decisions.append(event.decision)


def skills_of_label(values: Mapping[str, Any]) -> dict[str, float]:
    """What classifying demands: to learn from few examples, where there are few."""
    examples = values.get("label_examples")
    few = examples is not None and min(map(len, examples.values())) < 4
    return {"classify.few" if few else "classify": 1}


def build(policy: str) -> Orchestrator:
    """The project, and what it borrows from the catalogue."""
    orc = Orchestrator.from_project(HERE, policy=policy)
    catalog = load_project(catalog_root())
    for tool in (*catalog.tools, *catalog.agents):
        if tool.name in BORROWED:
            orc.add(tool)
    orc.require_skills("label", skills_of_label)
    orc.require_skills("groups", {"group.noisy": 1})
    return orc


def make_database(path: Path) -> Path:
    """Past incidents."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table incidents (day text, label text, cause text, action text)")
        connection.executemany("insert into incidents values (?, ?, ?, ?)", PAST)
    return path


async def triage(policy: str = "balanced", *down: str) -> tuple[Outcome[Any], list[Decision]]:
    """The report under a policy, while these agents are down; and who was chosen for what."""
    chosen = Selections()
    with tempfile.TemporaryDirectory() as folder:
        inputs = {
            "log_folder": HERE / "logs",
            "label_examples": EXAMPLES,
            "database": make_database(Path(folder) / "past.db"),
            "report_title": "Incidents of the night of 4 March",
        }
        async with build(policy) as orc:
            orc.add_sink(chosen)
            for name in down:
                orc.add(fail(orc.remove(name)))
            return await orc.run("report", inputs), chosen.decisions


def show(decisions: list[Decision]) -> None:
    """Who was chosen for what among whom, and why; the same choice once."""
    seen = dict.fromkeys((d.subject, d.chosen, str(Demand.of(d.facts["demand"])), d.candidates) for d in decisions)
    for subject, chosen, demand, candidates in seen:
        print(f"  {subject}: {chosen} (demand {demand})")
        for candidate in candidates:
            price = "not to be had" if candidate.price is None else f"${candidate.price:.4f}"
            print(f"      {candidate.name:20} {price:14} {candidate.reason}")


async def main() -> None:
    """The report under two policies, and with an expert down."""
    for policy, down in (("balanced", ()), ("cheapest", ()), ("balanced", ("database_expert",))):
        print(f"\nPolicy {policy}{', down: ' + ', '.join(down) if down else ''}. Chosen:")
        outcome, decisions = await triage(policy, *down)
        show(decisions)
        print(f"\n{outcome.value}" if (policy, down) == ("balanced", ()) else f"  cost: ${outcome.cost:.3f}")


if __name__ == "__main__":
    asyncio.run(main())
