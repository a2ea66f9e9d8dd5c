"""Daily spending limits of labels, leased to processes in shares."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.engine import Connection

from orchestrator.store.rows import Share

from .tables import ACCOUNTS, SHARES, Now, take_turn, upsert

_DAY = 86_400
Ask = Callable[[Callable[[Connection], Any]], Any]


class SqlAccounts:
    """`Accounts` in a database. The share of a dead process returns when it expires."""

    def __init__(self, ask: Ask, now: Now) -> None:
        self._ask = ask
        self._now = now

    def lease(self, label: str, limit: float, wanted: float, owner: str, ttl: float) -> Share:
        """Lease up to `wanted` dollars of the rest of today's limit."""
        share: Share = self._ask(lambda connection: self._lease(connection, label, limit, wanted, owner, ttl))
        return share

    def settle(self, share: Share, owner: str, spent: float, returned: float) -> None:
        """Book what was spent, give back what was not."""
        self._ask(lambda connection: _settle(connection, share, owner, spent, returned))

    def spent(self, label: str) -> float:
        """What was booked today."""
        booked: float = self._ask(lambda connection: _booked(connection, label, int(self._now(connection) // _DAY)))
        return booked

    def _lease(self, connection: Connection, label: str, limit: float, wanted: float, owner: str, ttl: float) -> Share:
        take_turn(connection, f"account {label}")
        now = self._now(connection)
        day, expires = int(now // _DAY), now + ttl
        connection.execute(delete(SHARES).where(SHARES.c.label == label, SHARES.c.expires <= now))
        leased = connection.execute(
            select(func.coalesce(func.sum(SHARES.c.usd), 0.0)).where(SHARES.c.label == label, SHARES.c.day == day)
        ).scalar_one()
        granted = max(0.0, min(wanted, limit - _booked(connection, label, day) - leased))
        statement = upsert(connection, SHARES)
        grown = {"usd": SHARES.c.usd + statement.excluded.usd, "expires": statement.excluded.expires}
        connection.execute(
            statement.on_conflict_do_update(index_elements=list(SHARES.primary_key), set_=grown),
            {"label": label, "day": day, "owner": owner, "usd": granted, "expires": expires},
        )
        return Share(label, day, granted, expires)


def _settle(connection: Connection, share: Share, owner: str, spent: float, returned: float) -> None:
    take_turn(connection, f"account {share.label}")
    mine = (SHARES.c.label == share.label, SHARES.c.day == share.day, SHARES.c.owner == owner)
    left = SHARES.c.usd - spent - returned
    connection.execute(update(SHARES).where(*mine).values(usd=case((left > 0.0, left), else_=0.0)))
    statement = upsert(connection, ACCOUNTS)
    grown = {"spent": ACCOUNTS.c.spent + statement.excluded.spent}
    connection.execute(
        statement.on_conflict_do_update(index_elements=list(ACCOUNTS.primary_key), set_=grown),
        {"label": share.label, "day": share.day, "spent": spent},
    )


def _booked(connection: Connection, label: str, day: int) -> float:
    query = select(ACCOUNTS.c.spent).where(ACCOUNTS.c.label == label, ACCOUNTS.c.day == day)
    return float(connection.execute(query).scalar() or 0.0)
