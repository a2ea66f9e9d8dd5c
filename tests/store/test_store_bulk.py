"""Many rows in few statements: none is lost at the seams."""

from pathlib import Path

import pytest
from sqlalchemy import select

from orchestrator.store.sql.bulk import insert_rows, rows_of_runs, update_runs
from orchestrator.store.sql.engine import database_url, engines, prepare
from orchestrator.store.sql.tables import REQUESTS, RUNS, SEALS, VALUES
from orchestrator.store.sql.writes import create_run
from tests.store.rows import run_row


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres") if request.param == "postgres" else str(tmp_path / "runs.db")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 63, 64, 65, 200])
def test_every_row_is_there_once_and_may_be_replaced(where: str, count: int) -> None:
    url = database_url(where)
    writer, reader = engines(url)
    prepare(writer, url)
    rows = [(f"r{number:03}", "name", f"text {number}") for number in range(count)]
    with writer.begin() as connection:
        insert_rows(connection, VALUES, rows)
        insert_rows(connection, VALUES, [(run, name, text + "!") for run, name, text in rows], replace=True)
        insert_rows(connection, REQUESTS, [(run, "{}", None) for run, _, _ in rows])
        found = rows_of_runs(connection, REQUESTS, [run for run, _, _ in rows[:3]])
    assert [(row.run_id, row.request, row.answer) for row in found] == [(run, "{}", None) for run, _, _ in rows[:3]]
    with reader.connect() as connection:
        kept = connection.execute(select(VALUES).order_by(VALUES.c.run_id)).all()
    assert [tuple(row) for row in kept] == [(run, name, text + "!") for run, name, text in rows]
    writer.dispose()
    reader.dispose()


def test_many_runs_are_changed_in_one_statement(where: str) -> None:
    url = database_url(where)
    writer, reader = engines(url)
    prepare(writer, url)
    ids = [f"r{number}" for number in range(70)]
    names = ("status", "ended", "length", "wake", "owner")
    with writer.begin() as connection:
        for run_id in ids:
            create_run(connection, run_row(run_id), "me")
        update_runs(connection, RUNS, names, [("reached", 7, n, None, "", ids[n]) for n in range(1, 70)])
        update_runs(connection, RUNS, ("ended", "wake"), [(None, 1, "r0")])
        insert_rows(connection, SEALS, [(0, n, ids[n], "é", "'", '"\\{},NULL') for n in range(70)])
    with reader.connect() as connection:
        columns = [RUNS.c[name] for name in ("run_id", *names)]
        rows = {row[0]: tuple(row[1:]) for row in connection.execute(select(*columns))}
        seals = connection.execute(select(SEALS.c.head, SEALS.c.prev, SEALS.c.hash).distinct()).all()
    assert rows == {**{ids[n]: ("reached", 7.0, n, None, "") for n in range(1, 70)}, "r0": rows["r0"]}
    assert rows["r0"] == ("running", None, 0, 1.0, "me")
    assert [tuple(seal) for seal in seals] == [("é", "'", '"\\{},NULL')]
    writer.dispose()
    reader.dispose()
