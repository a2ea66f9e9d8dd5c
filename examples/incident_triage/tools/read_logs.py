"""The errors of a folder of log files, oldest first."""

import re
from pathlib import Path

from orchestrator import CallerError, Refused, tool

LINE = re.compile(r"(\S+) (INFO|WARN|ERROR)\s+(\w+): (.*)")


@tool(gives="errors", latency=0.02)
def read_logs(log_folder: Path) -> list[dict[str, str]]:
    """`{"at", "source", "message"}` of each line of the level ERROR. Refuses a folder in which nothing went wrong."""
    files = sorted(log_folder.glob("*.log"))
    if not files:
        raise CallerError(f"there is no log file in {log_folder}")
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    found = [match.groups() for match in map(LINE.fullmatch, lines) if match and match[2] == "ERROR"]
    if not found:
        raise Refused("nothing went wrong")
    return [{"at": at, "source": source, "message": message} for at, _, source, message in sorted(found)]
