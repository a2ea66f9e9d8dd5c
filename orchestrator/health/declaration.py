"""`Declaration`: the part of a tool's declaration to which learned numbers belong."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Self

from orchestrator.graph.tool import Tool


@dataclass(frozen=True, slots=True)
class Declaration:
    """The part of a tool's declaration to which learned numbers belong.

    Circuit and success belong to name, needs, gives and effect; money and latency also to a numeric cost. Code,
    docstrings, time-outs and functions are no part of it, so a deployment that changes only these resets nothing.
    """

    tool: str
    digest: str = ""
    """Digest of needs, gives and effect; empty for a name that is no tool of the graph (a model of the ladder)."""
    cost: str = ""
    """The numeric cost in US dollars as text; empty if it is a function."""
    credential: str | None = None
    label: str = field(init=False)
    """The key of its entry, in memory and in the store."""
    scope: str | None = field(init=False)
    """The key of the entry that all tools with its credential share; `None` without a credential."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", label_of_declaration(self.tool, self.digest))
        object.__setattr__(self, "scope", None if self.credential is None else CREDENTIAL + self.credential)

    @classmethod
    def of(cls, tool: Tool) -> Self:
        """The declaration of a tool."""
        parts = [sorted(set(tool.needs.values())), sorted(tool.gives), str(tool.effect)]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        return cls(tool.name, digest, "" if callable(tool.cost) else repr(float(tool.cost)), tool.credential)


CREDENTIAL = "credential:"


def label_of_declaration(tool: str, digest: str) -> str:
    """The key of the entry of a tool; no tool's name contains a `#` before such a digest."""
    return f"{tool}#{digest}" if digest else tool
