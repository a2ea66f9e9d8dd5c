"""What tests and rehearsals use: a fake clock, faults on purpose, scripted chat models."""

from typing import TYPE_CHECKING, Any

from .clock import FakeClock
from .fault_text import parse_fault
from .faults import Fault, corrupt, fail, flap, hang, lose_answer, rate_limit, refuse, slow

if TYPE_CHECKING:
    from .chat import ScriptedChatModel


def __getattr__(name: str) -> Any:
    """`ScriptedChatModel`, when it is first asked for: it needs LangChain, which takes a while to import."""
    if name == "ScriptedChatModel":
        from .chat import ScriptedChatModel

        return ScriptedChatModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "FakeClock",
    "Fault",
    "ScriptedChatModel",
    "corrupt",
    "fail",
    "flap",
    "hang",
    "lose_answer",
    "parse_fault",
    "rate_limit",
    "refuse",
    "slow",
]
