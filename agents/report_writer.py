"""A report in Markdown from findings: a heading each, and a list under it."""

import re

from orchestrator import Agent
from orchestrator.core.checks import has_words


def escape(text: str) -> str:
    """Text in one line that cannot become markup."""
    flat = "".join(character for character in " ".join(text.split()) if character.isprintable())
    inline = re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", flat)
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", inline)


def write(report_title: str, findings: dict[str, list[str]]) -> str:
    """The report: title, how much there is, and each finding with its points, in the order given."""
    parts = [f"# {escape(report_title)}", f"{len(findings)} {'finding' if len(findings) == 1 else 'findings'}"]
    for heading, points in findings.items():
        parts.append(f"## {escape(heading)}")
        if points:
            parts.append("\n".join(f"- {escape(point)}" for point in points))
    return "\n\n".join(parts) + "\n"


report_writer = Agent(
    write,
    name="report_writer",
    gives="report",
    skills={"write.report": 0.6},
    latency=0.01,
    ensure=has_words,
    description="Write a report from findings: a heading each, and its points.",
)
