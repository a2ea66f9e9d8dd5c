"""Statements for data that outlives runs: graphs, health, documents, keys."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import BindParameter, String, bindparam, delete, func, insert, select
from sqlalchemy.engine import Connection

from orchestrator.store.ledger.encoding import decode_body

from .tables import DOCUMENTS, GRAPHS, HEALTH, KEYS, take_turn, upsert

_IDS: Final[BindParameter[str]] = bindparam("ids", type_=String(), expanding=True)
_HEALTH_OF: Final = select(HEALTH).where(HEALTH.c.name.in_(_IDS)).order_by(HEALTH.c.name).with_for_update()
"""Built once, because building a statement costs as much as executing it."""
_MOST: Final = 500


def add_graph(connection: Connection, digest: str, data: str) -> None:
    """Insert the graph unless it exists."""
    connection.execute(upsert(connection, GRAPHS).on_conflict_do_nothing(), {"digest": digest, "data": data})


def lock_health(connection: Connection, names: list[str]) -> dict[str, dict[str, Any]]:
    """The stored health of these names, locked until the end of the transaction; missing rows are inserted to lock
    them.
    """
    found: dict[str, dict[str, Any]] = {}
    empty = upsert(connection, HEALTH).on_conflict_do_nothing()
    for start in range(0, len(names), _MOST):
        some = sorted(names[start : start + _MOST])
        connection.execute(empty, [{"name": name, "data": ""} for name in some])
        found |= {row.name: decode_body(row.data) for row in connection.execute(_HEALTH_OF, {"ids": some}) if row.data}
    return found


def set_health(connection: Connection, texts: Mapping[str, str]) -> None:
    """Insert or replace."""
    rows = [{"name": name, "data": data} for name, data in sorted(texts.items())]
    statement = upsert(connection, HEALTH)
    replaced = {"data": statement.excluded.data}
    connection.execute(statement.on_conflict_do_update(index_elements=[HEALTH.c.name], set_=replaced), rows)


def add_document(connection: Connection, kind: str, data: str) -> int:
    """Insert the next version."""
    take_turn(connection, f"document {kind}")
    version = _newest_document(connection, kind) + 1
    connection.execute(insert(DOCUMENTS), {"kind": kind, "version": version, "data": data})
    return version


def swap_document(connection: Connection, kind: str, data: str, after: int, keep: int) -> bool:
    """Insert the next version if the newest is still number `after`; delete those older than the newest `keep`."""
    take_turn(connection, f"document {kind}")
    if _newest_document(connection, kind) != after:
        return False
    connection.execute(insert(DOCUMENTS), {"kind": kind, "version": after + 1, "data": data})
    connection.execute(delete(DOCUMENTS).where(DOCUMENTS.c.kind == kind, DOCUMENTS.c.version <= after + 1 - keep))
    return True


def key(connection: Connection, name: str) -> str:
    """The secret of this name, 32 random bytes in hex, created by the first caller."""
    made = {"name": name, "value": secrets.token_hex(32)}
    connection.execute(upsert(connection, KEYS).on_conflict_do_nothing(), made)
    return str(connection.execute(select(KEYS.c.value).where(KEYS.c.name == name)).scalar_one())


def _newest_document(connection: Connection, kind: str) -> int:
    newest = connection.execute(select(func.max(DOCUMENTS.c.version)).where(DOCUMENTS.c.kind == kind)).scalar()
    return newest or 0
