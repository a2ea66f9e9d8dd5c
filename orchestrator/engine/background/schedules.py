"""Schedules: goals that are submitted at the times of a cron expression, once per time over all workers of a store."""

import datetime as dt
import tomllib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from orchestrator.core.errors import DefinitionError
from orchestrator.core.types.schema import explain

LATE_SECONDS: Final = 60.0
"""How long ago a time may be that passed while no worker ran and is still submitted."""


class Schedule(BaseModel):
    """A goal, its inputs, and the times at which it is submitted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$")
    cron: str
    """Five fields: minute, hour, day of month, month, day of week; or six, with seconds at the end."""
    goal: str | list[str]
    demotions: list[str] = Field(default_factory=list[str])
    inputs: dict[str, Any] = Field(default_factory=dict[str, Any])
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    timezone: str = "UTC"
    """A name of the IANA database: the fields of `cron` are that place's local time."""
    priority: int = Field(default=0, ge=-1000, le=1000)
    budget: float | None = Field(default=None, ge=0.0)
    """The budget of each run in US dollars."""

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, text: str) -> str:
        if len(text.split()) not in (5, 6) or not _croniter().is_valid(text):
            raise ValueError(f"{text!r} is no cron expression, such as '0 3 * * 1-5'")
        return text

    @field_validator("timezone")
    @classmethod
    def _is_timezone(cls, text: str) -> str:
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{text!r} is no time zone, such as 'Europe/Zurich'") from error
        return text

    @classmethod
    def read(cls, path: Path) -> Self:
        """The schedule in a TOML file; its name is that of the file. Raises `DefinitionError` naming the file."""
        try:
            return cls.model_validate({"name": path.stem, **tomllib.loads(path.read_text(encoding="utf-8"))})
        except ValidationError as error:
            raise DefinitionError(f"{path}: {explain(error)}") from None
        except (OSError, ValueError) as error:
            raise DefinitionError(f"{path}: {' '.join(str(error).split())}") from error

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def _each_hour(self) -> bool:
        """Whether the expression names no fixed hour, so that it follows elapsed time over a change of daylight saving
        time.
        """
        return self.cron.split()[1].startswith("*")

    def last_time(self, now: float) -> float:
        """The latest time at or before `now`; both in seconds since the epoch."""
        moment = dt.datetime.fromtimestamp(now, self._zone)
        if self._each_hour:  # also in the hour that occurs twice, and after the one that is skipped
            moment = moment.astimezone(dt.timezone(moment.utcoffset() or dt.timedelta()))
        # The latest time strictly before the next second is the latest at or before now: times are whole seconds.
        after = moment.replace(microsecond=0) + dt.timedelta(seconds=1)
        return float(_croniter()(self.cron, after).get_prev(dt.datetime).timestamp())

    def run_id(self, at: float) -> str:
        """The id of the run for a time: submitting it again has no effect."""
        return f"{self.name}-{dt.datetime.fromtimestamp(at, dt.UTC):%Y%m%dT%H%M%SZ}"


def _croniter() -> Any:
    from croniter import croniter

    return croniter


class Timetable:
    """The due schedules, for one worker. Every worker submits them; equal run ids make that one run."""

    def __init__(self, schedules: Iterable[Schedule]) -> None:
        self._schedules = tuple(schedules)
        self._done: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._schedules)

    def due(self, now: float) -> list[tuple[Schedule, float]]:
        """Schedules whose latest time was not yet submitted by this worker, with that time."""
        found: list[tuple[Schedule, float]] = []
        for schedule in self._schedules:
            at = schedule.last_time(now)
            if at > self._done.get(schedule.name, now - LATE_SECONDS) and now - at <= LATE_SECONDS:
                found.append((schedule, at))
        return found

    def submitted(self, schedule: Schedule, at: float) -> None:
        """Mark a time as submitted."""
        self._done[schedule.name] = at


def schedules_of(folder: Path) -> tuple[Schedule, ...]:
    """The schedules of a folder's TOML files, by name. Raises `DefinitionError`."""
    return tuple(Schedule.read(path) for path in sorted(folder.glob("*.toml")))


def labels_of(schedule: Schedule) -> Mapping[str, str]:
    """The labels of its runs: those of the schedule, and the schedule's name."""
    return {"schedule": schedule.name, **schedule.labels}


__all__ = ["LATE_SECONDS", "Schedule", "Timetable", "labels_of", "schedules_of"]
