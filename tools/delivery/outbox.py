"""The last alternative for delivery: messages are stored on this disk until they can be sent.

The outbox is a SQLite file, which `deps` may name as `outbox` (default: `.orchestrator/outbox.db`).
"""

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator import CallerError, Escalated, RunContext, tool
from orchestrator.core.checks import has_words

TABLE = """create table if not exists outbox (
    key text primary key, recipient text not null, subject text not null, body text not null,
    state text not null default 'waiting')"""


class Deps(BaseModel):
    """What these tools take from `Orchestrator(deps=...)`."""

    outbox: Path = Path(".orchestrator") / "outbox.db"


def outbox_of(deps: Any) -> Path:
    """Where the outbox lies."""
    try:
        return Deps.model_validate({} if deps is None else deps, from_attributes=True).outbox.absolute()
    except ValidationError:
        raise CallerError("deps name as `outbox` something that is no path") from None


@contextmanager
def opened(path: Path) -> Generator[sqlite3.Connection]:
    """The outbox, for its owner only; each statement is on the disk when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.execute("pragma synchronous = full")
        connection.execute(TABLE)
        yield connection


def withdraw(delivery: str, ctx: RunContext) -> None:
    """Take a message out again, as long as it waits. Raises `ValueError` for one that may have been sent."""
    key = delivery.removeprefix("outbox:")
    with opened(outbox_of(ctx.deps)) as connection:
        gone = connection.execute("delete from outbox where key = ? and state = 'waiting'", (key,)).rowcount
        if not gone and connection.execute("select 1 from outbox where key = ?", (key,)).fetchone():
            raise ValueError("it may have been sent")


def may_be_kept(may_wait: bool = True) -> bool:
    """Whether a message may wait; what is sent out of the outbox must not end there again."""
    return may_wait


@tool(
    gives="delivery",
    effect="write",
    when=may_be_kept,
    ensure=has_words,
    compensate=withdraw,
    idempotency_key="key",
    latency=0.02,
    risk=0.5,
)
def outbox(recipient: str, subject: str, body: str, key: str, ctx: RunContext, may_wait: bool = True) -> str:
    """Keep the message until `send_outbox` can send it; gives `outbox:` and the key of the message."""
    with opened(outbox_of(ctx.deps)) as connection:
        connection.execute(
            "insert or ignore into outbox (key, recipient, subject, body) values (?, ?, ?, ?)",
            (key, recipient, subject, body),
        )
    return f"outbox:{key}"


@tool(gives="outbox_sent", effect="write", idempotency_key="key", latency=5, timeout=600)
async def send_outbox(key: str, ctx: RunContext) -> list[str]:
    """Send what waits, oldest first; gives the deliveries. What cannot be sent now goes on waiting.

    A message that may have gone out, or not, is left `in doubt`: only a person may say `waiting` again.
    """
    path = outbox_of(ctx.deps)
    sent: list[str] = []
    for name in waiting(path, key):
        message = taken(path, name, key)
        if message is None:
            continue  # another process was quicker
        try:
            outcome = await ctx.reach("delivery", {**message, "may_wait": False}, key=f"{key}-{name}")
        except Escalated as escalated:
            certain = escalated.outcome is not None and not escalated.outcome.uncompensated
            settle(path, name, "waiting" if certain else "in doubt")
        else:
            settle(path, name, None)
            sent.append(str(outcome.value))
    return sent


def waiting(path: Path, taker: str) -> list[str]:
    """Keys of the messages that wait, and of those that `taker` was sending when its process died; oldest first."""
    with opened(path) as connection:
        wanted = "select key from outbox where state in ('waiting', 'sending by ' || ?) order by rowid"
        return [key for (key,) in connection.execute(wanted, (taker,))]


def taken(path: Path, key: str, taker: str) -> dict[str, str] | None:
    """A message, marked as being sent by `taker`; `None` when it is somebody else's by now."""
    with opened(path) as connection:
        row = connection.execute(
            "update outbox set state = 'sending by ' || :taker where key = :key and"
            " state in ('waiting', 'sending by ' || :taker) returning recipient, subject, body",
            {"taker": taker, "key": key},
        ).fetchone()
    return None if row is None else dict(zip(("recipient", "subject", "body"), row, strict=True))


def settle(path: Path, key: str, state: str | None) -> None:
    """Put a message into a state; `None`: it is gone."""
    with opened(path) as connection:
        if state is None:
            connection.execute("delete from outbox where key = ?", (key,))
        else:
            connection.execute("update outbox set state = ? where key = ?", (state, key))
