"""What only a server does: it drops connections."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text

from orchestrator import Orchestrator
from orchestrator.core.enums import Status
from orchestrator.core.errors import StoreError
from orchestrator.store import SqlStore
from orchestrator.store.ledger.verify import verify_store
from orchestrator.store.sql import writer
from orchestrator.store.sql.writer import WriteRequest
from tests.store.rows import run_row


def cut_connections(url: str) -> None:
    """End every other connection to the database, as a restart or a failover does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def test_cut_connections_lose_nothing_and_are_no_problem(postgres: str) -> None:
    problems: list[str] = []
    store = SqlStore(postgres, on_problem=problems.append)
    store.begin(run_row())
    for number in range(100):
        store.append("run-1", "x", {"n": number}, 1.0)
        if number % 25 == 0:
            store.flush()
            cut_connections(postgres)
    store.flush(timeout=30)
    assert [record.body["n"] for record in store.records("run-1")] == list(range(100))
    assert verify_store(store).ok
    assert problems == []
    store.close()


def test_a_commit_whose_answer_is_lost_is_not_made_twice(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqlStore(postgres)
    store.begin(run_row())
    commit = store.engine.dialect.do_commit
    lose: list[bool] = []

    def lossy(connection: Any) -> None:
        commit(connection)
        if lose and lose.pop():
            raise psycopg.OperationalError("the connection was lost after the commit")

    for number in range(3):
        lose.append(True)
        with monkeypatch.context() as patched:
            patched.setattr(store.engine.dialect, "do_commit", lossy)
            store.append("run-1", "x", {"n": number}, 1.0)
            assert store.put_document("policy", {"n": number}) == number + 1
            assert lose == []
            store.flush(timeout=30, run_id="run-1")
    assert [record.body["n"] for record in store.records("run-1")] == [0, 1, 2]
    assert store.document_versions("policy") == [1, 2, 3]
    assert verify_store(store).ok
    store.close()


def test_a_claim_waits_for_the_write_that_its_token_will_fence_off(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = SqlStore(postgres), SqlStore(postgres)
    first.begin(run_row())
    token = first.claim("run-1", "a", ttl=0.0)
    committing, go_on = threading.Event(), threading.Event()
    commit = first.engine.dialect.do_commit

    def slow(connection: Any) -> None:
        committing.set()
        go_on.wait(30)
        commit(connection)

    monkeypatch.setattr(first.engine.dialect, "do_commit", slow)
    first.append("run-1", "x", {}, 1.0, token)
    assert committing.wait(30)
    claimed: list[int | None] = []
    claim = threading.Thread(target=lambda: claimed.append(second.claim("run-1", "b", ttl=1.0)))
    claim.start()
    claim.join(0.5)
    assert claimed == []
    go_on.set()
    claim.join(30)
    assert claimed == [2]
    assert [record.kind for record in second.records("run-1")] == ["x"]
    first.close()
    second.close()


def test_tables_that_are_dropped_are_an_outage_and_not_a_loss_of_the_queue(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "OUTAGE_GRACE", 0.1)
    told = threading.Event()
    store = SqlStore(postgres, on_problem=lambda _problem: told.set())
    store.begin(run_row())
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("ALTER TABLE orchestrator_records RENAME TO away")
        store.append("run-1", "x", {}, 1.0)
        assert told.wait(30)
        connection.execute("ALTER TABLE away RENAME TO orchestrator_records")
    store.flush(timeout=30, run_id="run-1")
    assert len(store.records("run-1")) == 1
    store.close()


def in_workers(postgres: str, work: Callable[[SqlStore, int], None]) -> SqlStore:
    """Let four workers, each with a store of its own, work at once; returns one of the stores."""
    stores = [SqlStore(postgres) for _ in range(4)]
    together = threading.Barrier(4)
    failures: list[Exception] = []

    def run(store: SqlStore, worker: int) -> None:
        together.wait(30)
        try:
            work(store, worker)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(store, index)) for index, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores[1:]:
        store.close()
    assert failures == []
    return stores[0]


def test_runs_that_end_at_once_in_many_workers_are_sealed_in_few_chains(postgres: str) -> None:
    def work(store: SqlStore, worker: int) -> None:
        for number in range(20):
            name = f"{worker}-{number}"
            store.begin(run_row(name))
            store.append(name, "x", {}, 1.0)
            store.set_status(name, Status.REACHED, 2.0)
            store.flush(timeout=60, run_id=name)

    store = in_workers(postgres, work)
    assert len(store.seals()) == 80
    assert 1 <= len({seal.lane for seal in store.seals()}) <= 4
    assert verify_store(store).ok
    store.close()


def test_many_workers_append_to_one_run_without_breaking_its_chain(postgres: str) -> None:
    def work(store: SqlStore, worker: int) -> None:
        store.begin(run_row())
        for number in range(25):
            store.append("run-1", f"worker-{worker}", {"n": number}, 1.0)
            store.flush(timeout=60, run_id="run-1")

    store = in_workers(postgres, work)
    assert len(store.records("run-1")) == 100
    assert verify_store(store).ok
    store.close()


def test_many_workers_claim_and_one_wins(postgres: str) -> None:
    won: list[int] = []
    before = SqlStore(postgres)
    for number in range(50):
        assert before.begin(run_row(f"run-{number}"), "gone", 0.0) is None
    before.close()

    def work(store: SqlStore, worker: int) -> None:
        for number in range(50):
            if store.claim(f"run-{number}", f"worker-{worker}", ttl=10.0) is not None:
                won.append(number)

    store = in_workers(postgres, work)
    assert sorted(won) == list(range(50))
    store.close()


def test_many_workers_number_their_documents_in_one_row(postgres: str) -> None:
    numbers: list[int] = []

    def work(store: SqlStore, worker: int) -> None:
        for _ in range(25):
            numbers.append(store.put_document("policy", {"by": worker}))

    store = in_workers(postgres, work)
    assert sorted(numbers) == list(range(1, 101))
    store.close()


def test_a_refused_call_shows_what_the_server_said_and_no_statement(postgres: str) -> None:
    store = SqlStore(postgres, on_problem=lambda _: None)
    with pytest.raises(StoreError, match="out of range") as refused:
        store.queue.submit(run_row("one", summary={"secret": "hunter2"}), '"hunter2"', priority=10**30)
    assert "hunter2" not in str(refused.value)
    assert "UPDATE" not in str(refused.value)
    store.close()


def test_a_newer_driver_name_may_be_written_out(postgres: str) -> None:
    store = SqlStore(postgres.replace("postgresql://", "postgresql+psycopg://"))
    assert store.count_runs() == 0
    store.close()


def test_a_commit_waits_for_the_servers_disk(postgres: str) -> None:
    store = SqlStore(postgres)
    assert store.durability() == "on"
    store.close()


@pytest.mark.parametrize("text", ["NUL \0 in it", "half \ud83d of it"])
def test_a_problem_handler_hears_of_text_that_the_server_refuses(postgres: str, text: str) -> None:
    problems: list[str] = []
    store = SqlStore(postgres, on_problem=problems.append)
    store.merge_health({text: {"p": 1}}, lambda _, new: dict(new))
    store.merge_health({"fine": {"p": 1}}, lambda _, new: dict(new))
    assert store.load_health() == {"fine": {"p": 1}}
    assert len(problems) == 1
    store.close()


def test_a_lost_answer_of_a_commit_says_nothing_of_the_next_batch(postgres: str) -> None:
    store = SqlStore(postgres)
    store.flush()
    with store.engine.begin() as connection:
        number = connection.execute(text("SELECT txid_current()")).scalar_one()
    done: list[str] = []

    def note(what: str) -> WriteRequest:
        def work(*_: Any) -> list[str]:
            done.append(what)
            return [what]

        return WriteRequest(work)

    given_up, following = note("given up"), note("following")
    commits: Any = store._commits  # pyright: ignore[reportPrivateUsage]
    transactions = commits._transactions
    transactions._unanswered = (number, [])  # it was committed, and nobody heard of that
    commits._tried = [given_up]
    commits.commit([given_up])
    assert done == []  # asked again, it is not done twice
    transactions._unanswered, commits._tried = (number, []), [given_up]
    commits.commit([following])  # whoever waited for the first has left
    assert following.answer == ["following"]
    store.close()


def test_schemas_of_one_database_are_stores_of_their_own(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        for schema in ("red", "blue"):
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            connection.execute(f"CREATE SCHEMA {schema}")
    red, blue = (SqlStore(f"{postgres}&options=-csearch_path%3D{schema}") for schema in ("red", "blue"))
    assert red.begin(run_row("one")) is None
    assert [row.run_id for row in red.runs()] == ["one"]
    assert blue.runs() == []
    assert red.durability() == "on"
    red.close()
    blue.close()


@pytest.fixture
def reader_role(postgres: str) -> Iterator[str]:
    """The URL of a role that may read the tables of the store and write none."""
    SqlStore(postgres).close()
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE ROLE looker LOGIN")
        connection.execute("GRANT USAGE ON SCHEMA public TO looker")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker")
    yield postgres.replace("postgres@", "looker@")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP OWNED BY looker")
        connection.execute("DROP ROLE looker")


def test_a_role_that_may_only_read_looks_at_runs_and_drives_none(reader_role: str) -> None:
    looking = SqlStore(reader_role)
    assert looking.count_runs() == 0
    looking.close()
    with pytest.raises(StoreError, match="the role looker may not select, insert, update and delete in orchestrator_"):
        Orchestrator(store=reader_role)


def test_a_right_that_is_missing_is_told_at_once_and_what_was_written_is_kept(reader_role: str, postgres: str) -> None:
    problems: list[str] = []
    store = SqlStore(reader_role, on_problem=problems.append)
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"permission denied for table .*the role looker needs the rights"):
        store.begin(run_row())
    assert time.monotonic() - began < writer.OUTAGE_GRACE
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO looker")
        connection.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO looker")
    until = time.monotonic() + 10
    while not store.count_runs() and time.monotonic() < until:
        time.sleep(0.05)
    store.append("run-1", "x", {}, 1.0)
    store.flush(timeout=10, run_id="run-1")
    assert len(store.records("run-1")) == 1
    assert len(problems) == 1
    store.close()


def test_a_server_that_takes_no_writes_is_one_clear_error(postgres: str) -> None:
    SqlStore(postgres).close()
    with pytest.raises(StoreError, match="cannot be written: the server or the role is read-only"):
        Orchestrator(store=f"{postgres}&options=-cdefault_transaction_read_only%3Don")


def test_a_look_into_a_long_queue_reads_little_of_it_whatever_the_statistics_say(postgres: str) -> None:
    store = SqlStore(postgres)
    columns = "run_id, status, policy, started, head, length, trace_id, search, goal, summary, submitted, wake, tenant"
    tenant = "CASE WHEN mod(n, 100) = 0 THEN 't' || n ELSE '' END"
    row = "'{status}', 'balanced', n, '', 0, '', '', 'g', '{{}}', n, n, " + tenant
    with store.engine.begin() as connection:
        ended = row.format(status="reached")
        connection.exec_driver_sql(
            f"INSERT INTO orchestrator_runs ({columns}) SELECT 'e' || n, {ended} FROM generate_series(1, 3000) AS n"
        )
    with store.reader.connect() as connection:
        connection.exec_driver_sql("ANALYZE orchestrator_runs")  # nothing is queued, it says from now on
    with store.engine.begin() as connection:
        queued = row.format(status="queued")
        connection.exec_driver_sql(
            f"INSERT INTO orchestrator_runs ({columns}) SELECT 'q' || n, {queued} FROM generate_series(1, 5000) AS n"
        )
    sent: list[tuple[str, Any]] = []
    event.listen(
        store.engine,
        "before_cursor_execute",
        lambda c, u, statement, parameters, x, m: sent.append((statement, parameters)),
    )
    taken = store.queue.take("me|1|1|x", 60.0, 100)
    assert len(taken) == 100
    assert len({run.run_id[-2:] == "00" for run in taken}) == 2  # of both kinds of tenants
    assert store.queue.next_due() == 0.0
    plans: list[str] = []
    with store.engine.connect() as connection:
        for statement, parameters in list(sent):
            if "orchestrator_runs" in statement:
                plan = connection.exec_driver_sql("EXPLAIN " + statement, parameters)
                plans.append("\n".join(line[0] for line in plan))
        connection.rollback()
    store.close()
    assert len(plans) == 5, plans
    oldest, tenants, of_each, claimed, soonest = plans
    assert "Sort" not in oldest + tenants + soonest
    assert "orchestrator_runs_ready" in oldest
    assert "orchestrator_runs_ready" in soonest
    assert "orchestrator_runs_turns" in tenants
    assert "orchestrator_runs_turns" in of_each
    assert claimed.count("orchestrator_runs_pkey") == 2
