"""What the pages tell of real runs, and what their forms do."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from orchestrator import Orchestrator, Status, Tool
from orchestrator.errors import StoreError
from orchestrator.selection.learning.evaluation import judgements_of
from orchestrator.selection.skills.storage import stored_handbook
from orchestrator.store import MemoryStore, SqlStore, open_store
from orchestrator.store.rows import RunRow
from orchestrator.ui import create_app
from orchestrator.ui.backend import Backend
from tests.ui.worlds import HERE, TOKEN, World, admitted, csrf_of, orchestrator, world


def test_runs_are_listed_and_filtered(client: TestClient) -> None:
    page = client.get("/").text
    assert all(f'href="/runs/{name}"' in page for name in ("healed", "waiting", "parent", "summary"))
    assert "1 failure" in page and "1 reroute" in page
    assert "1 run waits for an answer" in page
    waiting = client.get("/?status=waiting").text
    assert 'href="/runs/waiting"' in waiting and 'href="/runs/healed"' not in waiting
    found = client.get("/?q=HEAL").text
    assert 'href="/runs/healed"' in found and 'href="/runs/parent"' not in found
    assert "No run is like that" in client.get("/?q=nothing-like-it").text


def test_children_are_listed_when_asked_for(client: TestClient) -> None:
    assert "parent%2Fletter" not in client.get("/").text
    assert "parent%2Fletter" in client.get("/?children=1").text


@pytest.mark.parametrize("query", ["page=0", "page=-3", "page=x", "page=99999999999999999999", "status=lost", "page=²"])
def test_nonsense_in_the_address_is_ignored(client: TestClient, query: str) -> None:
    assert client.get(f"/?{query}").status_code == 200


def test_pages_of_many_runs() -> None:
    store = MemoryStore()
    for n in range(120):
        row = RunRow(f"r{n:03}", None, "goal", Status.RUNNING, "balanced", float(n), None, "", 0, "", {})
        assert store.begin(row) is None
    client = TestClient(create_app(store, token=TOKEN), base_url=HERE)
    first = client.get(f"/?token={TOKEN}").text
    assert 'href="/runs/r119"' in first and 'href="/runs/r069"' not in first and "Page 1 of 3" in first
    assert 'href="/?page=2"' in first
    last = client.get("/?page=3").text
    assert 'href="/runs/r000"' in last and 'rel="next"' not in last


def test_a_healed_run_tells_what_was_decided(client: TestClient) -> None:
    page = client.get("/runs/healed/decisions/d2").text
    assert "Decision 2 of 2" in page
    assert "rate_table → buy_label" in page
    assert "record verified" in page
    assert "the carrier is down" in page
    assert 'class="shape tool dead"' in page and 'class="strike"' in page
    assert 'class="shape tool chosen"' in page
    assert 'href="/runs/healed/decisions/d1"' in page
    assert "What the prices are made of" in page and "$0.0113" in page


def test_the_graph_is_that_of_the_moment(client: TestClient) -> None:
    before = client.get("/runs/healed/decisions/d1").text
    assert 'class="shape tool dead"' not in before
    assert "The next best route is" in before and "rate_table → buy_label" in before
    assert 'data-key="ArrowRight"' in before and 'data-key="ArrowLeft"' not in before


def test_failures_are_paired_with_their_answers(client: TestClient) -> None:
    rest = client.get("/runs/healed").text.split("Failures and their answers")[1]
    assert '<th scope="row">f1</th>' in rest
    assert "outage" in rest and "d2 reroute" in rest


def test_parent_and_child_are_linked(client: TestClient) -> None:
    page = client.get("/runs/parent").text
    address = page.split("Child runs")[1].split('href="')[1].split('"')[0]
    child = client.get(address)
    assert child.status_code == 200
    assert 'href="/runs/parent"' in child.text
    assert client.get(f"{address}/decisions/d1").status_code == 200


def test_unknown_runs_and_decisions(client: TestClient) -> None:
    for path in ("/runs/none", "/runs/healed/decisions/d77", "/runs/none/decisions/d1", "/elsewhere"):
        assert client.get(path).status_code == 404


def test_a_waiting_run_is_answered(client: TestClient, runs: World) -> None:
    page = client.get("/runs/waiting")
    assert "pay_back waits for approval" in page.text
    form = {"csrf": csrf_of(page.text), "choice": "1", "by": "ann"}
    answer = client.post("/runs/waiting/answer", data=form)
    assert answer.status_code == 200 and str(answer.url).endswith("/runs/waiting")
    assert "Waiting for an answer" not in answer.text
    assert "by ann" in answer.text
    assert runs.orc.outcome("waiting").status is Status.REACHED


def test_an_answer_that_is_none_is_explained(client: TestClient, runs: World) -> None:
    form = {"csrf": csrf_of(client.get("/runs/waiting").text), "choice": "99"}
    answer = client.post("/runs/waiting/answer", data=form)
    assert answer.status_code == 422
    assert "That is no answer to the question" in answer.text
    assert runs.orc.outcome("waiting").status is Status.WAITING


def test_an_answer_to_a_run_that_has_ended_says_so(client: TestClient, runs: World) -> None:
    form = {"csrf": csrf_of(client.get("/runs/waiting").text), "choice": "1"}
    answer = client.post("/runs/healed/answer", data=form)
    assert answer.status_code == 422
    assert "This run has ended (reached): it takes no answer any more." in answer.text


def test_without_a_project_the_page_says_how_to_answer(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    store = SqlStore(where)
    client = TestClient(create_app(store, token=TOKEN), base_url=HERE)
    page = client.get(f"/runs/waiting?token={TOKEN}")
    assert "orchestrator recover --project DIR" in page.text
    csrf = csrf_of(page.text)
    nonsense = client.post("/runs/waiting/answer", data={"csrf": csrf, "choice": "99"})
    assert nonsense.status_code == 422 and "no answer to the question" in nonsense.text
    client.post("/runs/waiting/answer", data={"csrf": csrf, "choice": "1", "by": "ann"})
    kept = store.run("waiting")
    assert kept is not None and kept.status is Status.QUEUED
    store.close()


def test_a_run_of_the_store_is_answered_by_a_fresh_orchestrator(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    store = open_store(where)
    backend = Backend(store, opening=lambda: orchestrator(where))
    with TestClient(create_app(backend, token=TOKEN), base_url=HERE) as client:
        page = client.get(f"/runs/waiting?token={TOKEN}")
        client.post("/runs/waiting/answer", data={"csrf": csrf_of(page.text), "choice": "1", "by": "ann"})
        assert ">reached<" in client.get("/runs/waiting").text
    store.close()


def test_a_project_that_lacks_the_tools_of_a_run_does_not_touch_it(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    store = open_store(where)

    def other() -> Orchestrator:
        orc = orchestrator(where)
        orc.remove("pay_back")
        return orc

    backend = Backend(store, opening=other)
    with TestClient(create_app(backend, token=TOKEN), base_url=HERE) as client:
        page = client.get(f"/runs/waiting?token={TOKEN}")
        client.post("/runs/waiting/answer", data={"csrf": csrf_of(page.text), "choice": "1"})
    row = store.run("waiting")
    assert row is not None and row.status is Status.QUEUED  # with the answer, for whoever has its tools
    store.close()


def test_trip_and_restore(client: TestClient, runs: World) -> None:
    csrf = csrf_of(client.get("/health").text)
    tripped = client.post("/health", data={"csrf": csrf, "name": "rate_table", "do": "trip", "reason": "looks wrong"})
    assert "looks wrong" in tripped.text and "by hand" in tripped.text
    assert runs.orc.health.status("rate_table").circuit == "open"
    silent = client.post("/health", data={"csrf": csrf, "name": "rate_table", "do": "restore"})
    assert silent.status_code == 422 and "a reason is kept" in silent.text
    why = {"reason": "it answers again", "by": "ann"}
    restored = client.post("/health", data={"csrf": csrf, "name": "rate_table", "do": "restore", **why})
    assert "restored: it answers again (by ann)" in restored.text
    assert runs.orc.health.status("rate_table").circuit == "closed"
    unknown = client.post("/health", data={"csrf": csrf, "name": "nothing", "do": "trip", "reason": "x"})
    assert unknown.status_code == 422


def test_trips_of_a_store_without_an_orchestrator_are_kept(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    store = open_store(where)
    client = TestClient(create_app(store, token=TOKEN), base_url=HERE)
    csrf = csrf_of(client.get(f"/health?token={TOKEN}").text)
    client.post("/health", data={"csrf": csrf, "name": "carrier_api", "do": "trip", "reason": "down"})
    store.close()
    again = orchestrator(where)
    assert again.health.status("carrier_api").manual
    again.close()


def test_agents_show_competence_and_learn(client: TestClient, runs: World) -> None:
    page = client.get("/agents")
    assert "summariser" in page.text and "summarise" in page.text
    before = runs.orc.selector.handbook.version
    form = {"csrf": csrf_of(page.text), "run": "summary", "key": "summary", "success": "no"}
    assert "Recorded: summary of run summary" in client.post("/agents", data=form).text
    assert runs.orc.selector.handbook.version > before
    assert client.post("/agents", data={**form, "run": "none"}).status_code == 422
    refused = client.post("/agents", data={**form, "run": "healed", "key": "quote"})
    assert refused.status_code == 422 and "rate_table" in refused.text and "not chosen by skill" in refused.text


def test_agents_are_shown_and_judged_by_what_runs_recorded(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    store = open_store(where)
    before = stored_handbook(store)
    client = TestClient(create_app(store, token=TOKEN), base_url=HERE)
    page = client.get(f"/agents?token={TOKEN}").text
    assert "summariser" in page and "parcel" in page and "80%" in page and "carrier_api" not in page
    form = {"csrf": csrf_of(page), "run": "summary", "key": "summary", "success": "no"}
    assert "Recorded: summary of run summary" in client.post("/agents", data=form).text
    after = stored_handbook(store)
    assert before is not None and after is not None
    assert after.record("summariser").failures == before.record("summariser").failures + 1
    (judged,) = judgements_of(store, "summary")
    assert (judged.tool, judged.good, judged.by) == ("summariser", False, "a person")
    assert client.post("/agents", data={**form, "run": "healed", "key": "label"}).status_code == 422
    store.close()


def test_a_changed_record_is_named(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    with closing(sqlite3.connect(where)) as connection, connection:
        connection.execute(
            "UPDATE orchestrator_records SET body = replace(body, 'the carrier is down', 'the carrier is up') "
            "WHERE run_id = 'healed'"
        )
    store = open_store(where)
    client = TestClient(create_app(store, token=TOKEN), base_url=HERE)
    page = client.get(f"/runs/healed?token={TOKEN}").text
    assert "record changed" in page and "was changed" in page
    store.close()


def test_a_record_that_cannot_be_read_does_not_hide_the_rest(tmp_path: Path) -> None:
    where = tmp_path / "runs.db"
    asyncio.run(world(where)).orc.close()
    with closing(sqlite3.connect(where)) as connection, connection:
        connection.execute(
            "UPDATE orchestrator_records SET body = '{}' WHERE run_id = 'healed' AND kind = 'CallStarted'"
        )
    store = open_store(where)
    client = TestClient(create_app(store, token=TOKEN), base_url=HERE)
    page = client.get(f"/runs/healed?token={TOKEN}")
    assert page.status_code == 200
    assert "Not readable" in page.text and "record changed" in page.text
    store.close()


def test_a_store_that_is_gone_is_told(runs: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = admitted(runs.orc)

    def broken(*_: object, **__: object) -> None:
        raise StoreError("the store cannot be read")

    monkeypatch.setattr(runs.orc.store, "runs", broken)
    answer = client.get("/")
    assert answer.status_code == 503 and "cannot be read" in answer.text


def test_a_run_whose_id_has_a_line_break_has_a_page(runs: World) -> None:
    row = runs.orc.store.run("healed")
    assert row is not None
    runs.orc.store.begin(replace(row, run_id="two\nlines", parent=None))
    with admitted(runs.orc) as client:
        listed = client.get("/").text
        assert "/runs/two%0Alines" in listed
        assert client.get("/runs/two%0Alines").status_code == 200


def test_a_bug_is_shown_with_its_traceback(tmp_path: Path) -> None:
    def broken(parcel: str) -> str:
        raise KeyError("<missing>")

    orc = Orchestrator([Tool(broken, name="broken", gives="thing")], policy="balanced")
    asyncio.run(orc.run("thing", {"parcel": "book"}, run_id="buggy"))
    with admitted(orc) as client:
        page = client.get("/runs/buggy").text
    assert "KeyError: &#39;&lt;missing&gt;&#39; (test_pages.py:" in page
    assert "raise KeyError(&#34;&lt;missing&gt;&#34;)" in page
    assert "<details><summary>Traceback</summary>" in page


def test_a_filter_that_is_not_understood_is_named() -> None:
    with admitted(orchestrator()) as client:
        for address, problem in (
            ("?status=reachd", "does not take &#39;reachd&#39;. Did you mean &#39;reached&#39;?"),
            ("?failure=outge", "Did you mean &#39;outage&#39;?"),
            ("?stats=reached", "There is no filter &#39;stats&#39;. Did you mean &#39;status&#39;?"),
            ("?healed=yes", "does not take &#39;yes&#39;"),
            ("?page=0", "&#39;0&#39; is no page of the list"),
        ):
            assert problem in client.get(f"/{address}").text, address
        assert 'role="alert"' not in client.get("/?status=&q=&failure=&since=&label=&tool=&healed=1&page=1").text


def test_runs_are_filtered_by_label_tool_failure_and_healing(tmp_path: Path) -> None:
    orc = orchestrator()
    asyncio.run(orc.run("label", {"parcel": "book"}, run_id="one", labels={"customer": "17", "session": "s"}))
    asyncio.run(orc.run("summary", {"parcel": "book"}, run_id="two", labels={"customer": "18"}))
    with admitted(orc) as client:

        def found(query: str) -> list[str]:
            page = client.get(f"/?{query}").text
            return [name for name in ("one", "two") if f'href="/runs/{name}"' in page]

        assert found("") == ["one", "two"]
        assert found("label=customer%3D17") == found("label=customer%3D17+session%3Ds") == ["one"]
        assert found("label=customer%3D17+session%3Dt") == []
        assert found("tool=summariser") == ["two"]
        assert found("failure=outage") == found("healed=1") == ["one"]
        assert found("since=1h") == ["one", "two"]
        assert "customer=17" in client.get("/").text
        assert 'role="alert"' in client.get("/?label=customer").text
        assert 'role="alert"' in client.get("/?since=yesterdayish").text


def test_the_overview_adds_up_the_last_day(client: TestClient) -> None:
    page = client.get("/overview").text
    assert "The last day" in page and "100%" in page
    assert 'href="/?since=24h&amp;healed=1"' in page
    assert "outage" in page


def test_a_page_per_tool_shows_its_calls_and_runs(client: TestClient) -> None:
    page = client.get("/tools/carrier_api").text
    assert "the carrier is down" in page and 'href="/runs/healed"' in page
    assert "Calls by hour" in page
    assert client.get("/tools/rate_table").status_code == 200
    assert "never called" in client.get("/tools/pay_back").text
    assert client.get("/tools/nobody").status_code == 404


def test_health_shows_what_is_wrong_first_and_what_was_never_called_as_unknown(client: TestClient) -> None:
    page = client.get("/health").text
    assert page.index("/tools/carrier_api") < page.index("/tools/rate_table") < page.index("/tools/pay_back")
    assert "never called" in page and "unknown" in page


def test_a_long_timeline_puts_calls_that_worked_into_one_line(tmp_path: Path) -> None:
    tools = [Tool(lambda **_: 1, name=f"t{n}", needs=[f"k{n}"], gives=f"k{n + 1}") for n in range(60)]
    orc = Orchestrator(tools, policy="balanced")
    asyncio.run(orc.run("k60", {"k0": 1}, run_id="long"))
    with admitted(orc) as client:
        page = client.get("/runs/long").text
    assert "60 calls that worked: t0, t1" in page
    assert page.count('class="line call ok"') == 60
    assert "{{" not in page and "line.row" not in page


def test_a_child_run_is_a_line_of_the_timeline(client: TestClient) -> None:
    page = client.get("/runs/parent").text
    assert 'class="line call child ok"' in page
    assert page.count("/runs/parent%2Fletter%2Fquote") >= 2


def test_the_page_opens_on_the_decision_that_mattered(client: TestClient) -> None:
    assert 'kindmark d-reroute">reroute' in client.get("/runs/healed").text
    assert 'kindmark d-escalate">escalate' in client.get("/runs/waiting").text


def test_a_question_says_what_it_is_about_and_since_when_it_waits(client: TestClient) -> None:
    page = client.get("/runs/waiting").text
    answer = page.split('class="answer"')[1].split("</section>")[0]
    assert "/tools/pay_back" in answer and "irreversible" in answer
    assert "Asked" in answer and "ask human" in answer and "no time limit" in answer


def test_the_backtest_replays_under_another_policy(client: TestClient) -> None:
    assert "Replay" in client.get("/backtest").text
    same = client.get("/backtest?policy=balanced")
    assert same.status_code == 200
    other = client.get("/backtest?policy=fastest").text
    assert "Expected for the first routes of" in other and "Under fastest" in other
    assert "decided otherwise" in other.lower()
    none = client.get("/backtest?policy=fastest&label=customer%3Dnobody").text
    assert "No run to replay" in none
    for wrong in ("/backtest?policy=fastets", "/backtest?policy=fastest&label=x"):
        page = client.get(wrong)
        assert page.status_code == 422 and 'role="alert"' in page.text
