"""`HealthChecks`: polls the `health_check=` of tools in the background."""

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from orchestrator.core.calls.options import checked
from orchestrator.core.calls.user_code import UserCall
from orchestrator.core.events import Event
from orchestrator.core.privacy.redaction import message_of
from orchestrator.graph.tool import Tool

from .facts import MonitorFacts
from .signal import Signal


class HealthChecks:
    """Calls each tool's health check every `interval` seconds.

    A check fails by raising, or by a false value other than `None`. That counts like a failed call; after a passing
    check an open circuit may be probed at once. Checks of one round run concurrently, each for at most `timeout`
    seconds of real time.
    """

    woken_by: ClassVar[tuple[type[Event], ...]] = ()

    @checked()
    def __init__(self, interval: float = 30.0, timeout: float = 5.0, name: str = "health_checks") -> None:
        self.name = name
        self.interval = interval
        self._timeout = timeout
        self._due = 0.0

    async def watch(self, facts: MonitorFacts) -> Iterable[Signal]:
        """Returns no signals: the results of checks change the tool's health."""
        if facts.now < self._due:
            return ()
        self._due = facts.now + self.interval
        names = sorted(name for name, tool in facts.tools.items() if tool.health_check is not None)
        results = await asyncio.gather(*(self._check(facts.tools[name], facts) for name in names))
        for name, problem in zip(names, results, strict=True):
            facts.health.record_check(name, problem is None, problem or "")
        return ()

    async def _check(self, tool: Tool, facts: MonitorFacts) -> str | None:
        """The problem; `None` if the check passes."""
        check = tool.health_check
        if check is None:
            return None
        try:
            async with asyncio.timeout(self._timeout):
                found = await UserCall(check, in_thread=facts.in_thread).result()
            passes = found is None or bool(found)
        except Exception as error:
            return f"health check: {message_of(error)}"
        return None if passes else "its health check said no"
