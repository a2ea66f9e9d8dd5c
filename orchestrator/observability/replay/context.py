"""Checks of choices that were made within a call: how many agents a step was worth, and whose answer stood."""

from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.selection.ensembles.consensus import Votes

from .difference import Finding, compared


def check_within(decision: Decision) -> list[Finding] | None:
    """What does not follow from the votes on record; `None` for a choice that was made by a plan."""
    if "consensus" in decision.facts:
        return _consensus(decision, decision.facts["consensus"])
    if "panel" in decision.facts:
        return compared("set", decision.chosen, " + ".join(decision.facts["panel"]["answered"]))
    return None if "plan" in decision.facts or "call" not in decision.facts else []


def _consensus(decision: Decision, recorded: dict[str, Any]) -> list[Finding]:
    votes = Votes.from_json(recorded["votes"])
    decided_by, place = votes.elected
    found = compared("sigma", recorded["sigma"], votes.probes.sigma)
    found += compared("mode", recorded["mode"], str(votes.mode))
    found += compared("decided by", recorded["decided_by"], decided_by)
    asked = [c for c in decision.candidates if not c.reason.startswith("left out")]
    probes = len(asked) - votes.asked
    ok = [c.name for c in asked if c.reason != "gave no answer"]
    of_probes = [c.name for c in asked[:probes] if c.reason != "gave no answer"]
    in_order = [*ok[len(of_probes) :], *of_probes]
    if decided_by == "judge":
        return found
    winner = "agreement" if decided_by == "agreement" else in_order[place]
    return found + compared("winner", decision.chosen, winner)
