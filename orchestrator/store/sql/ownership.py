"""Statements of ownership: claims of runs, the leases of owners, named leases."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.engine import Connection

from orchestrator.core.enums import Status
from orchestrator.store.owner import owner_died, owner_runs

from .tables import LEASES, OWNERS, RUNS, is_postgres, upsert

_ENDED: Final = frozenset(str(status) for status in Status if status.ended)


def take_claim(connection: Connection, run_id: str, owner: str, now: float, ttl: float) -> int | None:
    """The next token of the run, unless it has ended or another owner holds it."""
    found = connection.execute(
        select(RUNS.c.owner, RUNS.c.token, RUNS.c.status).where(RUNS.c.run_id == run_id).with_for_update()
    ).first()
    if found is None or found.status in _ENDED or (found.owner != owner and holds(connection, found.owner, now)):
        return None
    token = int(found.token) + 1
    renew_owner(connection, owner, now + ttl)
    taken: dict[str, object] = {"token": token, "owner": owner}
    if found.owner not in ("", owner) and not owner_died(found.owner):
        taken["doubtful"] = token
    connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(taken))
    return token


def holds(connection: Connection, owner: str, now: float) -> bool:
    """Whether an owner keeps its runs: its lease lives, or, with a file, its process on this machine runs."""
    if not owner or owner_died(owner):
        return False
    expires = connection.execute(select(OWNERS.c.expires).where(OWNERS.c.owner == owner)).scalar()
    if expires is not None and expires > now:
        return True
    return not is_postgres(connection) and owner_runs(owner)


def renew_owner(connection: Connection, owner: str, expires: float) -> None:
    """Insert or extend the lease of an owner."""
    statement = upsert(connection, OWNERS)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[OWNERS.c.owner],
            set_={"expires": statement.excluded.expires},
            where=OWNERS.c.expires < statement.excluded.expires,
        ),
        {"owner": owner, "expires": expires},
    )


def runs_not_owned(connection: Connection, owner: str, tokens: Mapping[str, int]) -> frozenset[str]:
    """Those of the runs that the owner does not own under these tokens."""
    owned = runs_of(connection, owner)
    return frozenset(run_id for run_id, token in tokens.items() if owned.get(run_id) != token)


def runs_of(connection: Connection, owner: str) -> dict[str, int]:
    """The tokens of the runs of an owner."""
    rows = connection.execute(select(RUNS.c.run_id, RUNS.c.token).where(RUNS.c.owner == owner)).all()
    return {row.run_id: row.token for row in rows}


def drop_claim(connection: Connection, run_id: str, token: int) -> None:
    """Give the run back; the token stays, so that the next is greater."""
    connection.execute(update(RUNS).where(RUNS.c.run_id == run_id, RUNS.c.token == token).values(owner=""))


def take_lease(connection: Connection, name: str, owner: str, seconds: float, now: float) -> bool:
    """Whether the lease was free, or over, and is now the owner's."""
    columns = {"owner": owner, "expires": now + seconds}
    over = update(LEASES).where(LEASES.c.name == name, LEASES.c.expires <= now).values(columns)
    if connection.execute(over).rowcount:
        return True
    free = upsert(connection, LEASES).values(name=name, **columns).on_conflict_do_nothing()
    return connection.execute(free.returning(LEASES.c.name)).first() is not None


def drop_lease(connection: Connection, name: str, owner: str) -> None:
    """Delete the lease if it is the owner's."""
    connection.execute(delete(LEASES).where(LEASES.c.name == name, LEASES.c.owner == owner))
