"""MCP servers as they are published on npm and PyPI, and the MCP inspector, installed for a campaign."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

INSPECTOR: Final = "@modelcontextprotocol/inspector"
NPM: Final = tuple(f"@modelcontextprotocol/server-{name}" for name in ("filesystem", "everything", "memory"))
PYPI: Final = {
    "py": ("mcp-server-git", "mcp-server-time", "mcp-server-fetch"),
    "old": ("mcp-server-sqlite", "mcp<2"),
}
"""Virtual environment -> what is installed there; the server for SQLite was written for an older SDK."""


def install(folder: Path) -> Path:
    """The folder that has them; skips where a registry has not. `MCP_SERVERS` names one that is ready."""
    ready = os.environ.get("MCP_SERVERS")
    if ready:
        return Path(ready)
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing, and MCP_SERVERS names no folder with servers")
    commands = [[npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), INSPECTOR, *NPM]]
    for name, packages in PYPI.items():
        commands.append([sys.executable, "-m", "venv", str(folder / name)])
        commands.append([str(folder / name / "bin" / "pip"), "install", "--quiet", *packages])
    for command in commands:
        try:
            subprocess.run(command, check=True, timeout=600, capture_output=True)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"{command[0]} could not install the servers here: {error}")
    return folder


def entries(folder: Path, data: Path) -> dict[str, list[str]]:
    """Server -> the command that starts it."""
    npm, py, old = folder / "node_modules" / ".bin", folder / "py" / "bin", folder / "old" / "bin"
    return {
        "filesystem": [str(npm / "mcp-server-filesystem"), str(data)],
        "everything": [str(npm / "mcp-server-everything"), "stdio"],
        "memory": [str(npm / "mcp-server-memory")],
        "git": [str(py / "mcp-server-git"), "--repository", str(data)],
        "time": [str(py / "mcp-server-time")],
        "fetch": [str(py / "mcp-server-fetch"), "--ignore-robots-txt", "--allow-private-ips"],
        "sqlite": [str(old / "mcp-server-sqlite"), "--db-path", str(data / "a.db")],
    }
