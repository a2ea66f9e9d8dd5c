"""What the queue, the owners and the accounts of every store must do; a subclass gives the fixture `store`."""

import threading
from dataclasses import replace

import pytest

from orchestrator.core.enums import Status
from orchestrator.errors import StoreError
from orchestrator.store import Store, owner_name
from orchestrator.store.rows import FIRST_TOKEN, Swept
from orchestrator.store.unclaimed import ANY_WORKER, LOOK_AGAIN_SECONDS, UnclaimedRuns
from tests.store.conformance import Moment
from tests.store.rows import run_row


class QueueConformance:
    """The kit for ownership, queue and accounts."""

    @pytest.fixture
    def clock(self) -> Moment:
        return Moment()

    # ---------------------------------------------------------------- ownership

    def test_a_claim_fences_off_the_owner_before(self, store: Store, clock: "Moment") -> None:
        problems: list[str] = []
        refused: list[tuple[str, int]] = []
        store.on_problem = problems.append
        store.on_refused = lambda run_id, token: refused.append((run_id, token))
        assert store.begin(run_row(), "a", 10.0) is None
        first = FIRST_TOKEN
        store.append("run-1", "first", {}, 1.0, first)
        clock.now += 9.0
        assert store.claim("run-1", "b", ttl=10.0) is None
        assert store.renew("a", 10.0, {"run-1": first}) == set()
        clock.now += 9.0
        assert store.claim("run-1", "b", ttl=10.0) is None
        clock.now += 1.0
        second = store.claim("run-1", "b", ttl=10.0)
        assert second is not None
        assert second > first
        assert store.doubtful("run-1") == second
        store.append("run-1", "stale", {}, 1.0, first)
        store.put_value("run-1", "stale", "1", first)
        store.set_status("run-1", Status.ESCALATED, 9.0, token=first)
        store.drop_values("run-1", first)
        store.append("run-1", "second", {}, 1.0, second)
        with pytest.raises(StoreError, match="owned by another worker"):
            store.flush(run_id="run-1", token=first)
        store.flush(run_id="run-1", token=second)
        assert store.renew("a", 10.0, {"run-1": first}) == {"run-1"}
        assert store.renew("b", 10.0, {"run-1": second}) == set()
        assert [record.kind for record in store.records("run-1")] == ["first", "second"]
        assert store.values("run-1") == {}
        assert len(problems) == 4
        assert refused == [("run-1", first)] * 4

    def test_a_token_that_was_never_given_is_refused(self, store: Store) -> None:
        store.begin(run_row())
        store.append("run-1", "x", {}, 1.0, 99)
        with pytest.raises(StoreError, match="owned by another worker"):
            store.flush(run_id="run-1", token=99)
        assert store.records("run-1") == []

    def test_a_released_run_is_free_and_its_token_grows_on(self, store: Store) -> None:
        store.begin(run_row(), "a", 10.0)
        store.release("run-1", FIRST_TOKEN)
        assert store.owner("run-1") == ""
        assert store.renew("a", 10.0, {"run-1": FIRST_TOKEN}) == {"run-1"}
        second = store.claim("run-1", "b", ttl=10.0)
        assert second is not None
        assert second > FIRST_TOKEN
        assert store.doubtful("run-1") == 0
        store.release("run-1", FIRST_TOKEN)
        assert store.claim("run-1", "c", ttl=10.0) is None

    def test_a_run_that_was_never_begun_cannot_be_claimed(self, store: Store) -> None:
        assert store.claim("run-1", "a", ttl=10.0) is None

    def test_an_end_releases_the_run(self, store: Store) -> None:
        store.begin(run_row(), "a", 10.0)
        assert store.owner("run-1") == "a"
        store.set_status("run-1", Status.REACHED, 2.0, token=FIRST_TOKEN)
        store.flush()
        assert store.owner("run-1") == ""
        assert store.claim("run-1", "b", ttl=10.0) is None

    def test_an_owner_whose_process_died_loses_the_run_at_once(self, store: Store) -> None:
        alive = owner_name()
        host, pid, start, rest = alive.split("|")
        dead = "|".join((host, pid, str(int(start) - 1), rest))
        store.begin(run_row(), dead, 1000.0)
        assert store.claim("run-1", alive, ttl=1000.0) is not None
        assert store.doubtful("run-1") == 0
        assert store.claim("run-1", "elsewhere|1|1|x", ttl=1000.0) is None

    def test_many_claim_one_wins(self, store: Store) -> None:
        store.begin(run_row())
        tokens: list[int | None] = []

        def claim(owner: str) -> None:
            tokens.append(store.claim("run-1", owner, ttl=10.0))

        threads = [threading.Thread(target=claim, args=(f"o{index}",)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(token is not None for token in tokens) == [False] * 7 + [True]

    # ---------------------------------------------------------------- the queue

    def test_a_submitted_run_is_taken_once_with_what_was_asked_for(self, store: Store) -> None:
        assert store.queue.submit(run_row("a", status=Status.QUEUED), '{"goal": "x"}') is None
        again = store.queue.submit(run_row("a", status=Status.QUEUED), "{}")
        assert again is not None
        assert again.status is Status.QUEUED
        taken = store.queue.take("w", 10.0, 5)
        assert [(run.run_id, run.request, run.answer) for run in taken] == [("a", '{"goal": "x"}', None)]
        assert store.queue.take("v", 10.0, 5) == []
        row = store.run("a")
        assert row is not None
        assert row.status is Status.RUNNING
        assert store.owner("a") == "w"
        assert store.renew("w", 10.0, {"a": taken[0].token}) == set()

    def test_a_run_waits_for_its_time_and_for_those_of_higher_priority(self, store: Store, clock: "Moment") -> None:
        store.queue.submit(run_row("late"), "{}", delay=5.0, priority=9)
        store.queue.submit(run_row("low"), "{}")
        store.queue.submit(run_row("high"), "{}", priority=1)
        assert [run.run_id for run in store.queue.take("w", 10.0, 5)] == ["high", "low"]
        clock.now += 5.0
        assert [run.run_id for run in store.queue.take("w", 10.0, 5)] == ["late"]

    def test_tenants_take_turns_and_keep_to_their_limits(self, store: Store) -> None:
        for number in range(5):
            store.queue.submit(run_row(f"big-{number}", labels={"tenant": "big"}), "{}")
        store.queue.submit(run_row("small-0", labels={"tenant": "small"}), "{}")
        assert [run.run_id for run in store.queue.take("w", 10.0, 3)] == ["big-0", "small-0", "big-1"]
        assert [run.run_id for run in store.queue.take("w", 10.0, 5, {"*": 3})] == ["big-2"]
        assert store.queue.take("w", 10.0, 5, {"big": 3}) == []

    def test_one_run_at_a_time_is_taken_of_each_tenant_by_turns(self, store: Store) -> None:
        for number in range(4):
            store.queue.submit(run_row(f"big-{number}", labels={"tenant": "big"}), "{}")
        assert [run.run_id for _ in range(2) for run in store.queue.take("w", 10.0, 1)] == ["big-0", "big-1"]
        for number in range(2):
            store.queue.submit(run_row(f"late-{number}", labels={"tenant": "late"}), "{}")
        taken = [run.run_id for _ in range(4) for run in store.queue.take("w", 10.0, 1)]
        assert sorted(taken[:2]) == ["big-2", "late-0"]
        assert sorted(taken[2:]) == ["big-3", "late-1"]

    @pytest.mark.parametrize("limits", [None, {"*": 1}])
    def test_tenants_with_a_long_backlog_hide_no_other(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int] | None
    ) -> None:
        monkeypatch.setattr("orchestrator.store.sql.candidates._LOOKED_AT", 4)
        for number in range(5):
            for tenant in ("big", "huge"):
                store.queue.submit(run_row(f"{tenant}-{number}", labels={"tenant": tenant}), "{}")
        store.queue.submit(run_row("small-0", labels={"tenant": "small"}), "{}")
        assert [run.run_id for run in store.queue.take("w", 10.0, 3, limits)] == ["big-0", "huge-0", "small-0"]
        store.queue.submit(run_row("small-1", labels={"tenant": "small"}), "{}")
        store.queue.submit(run_row("other-0", labels={"tenant": "other"}), "{}")
        more = [run.run_id for run in store.queue.take("w", 10.0, 4, limits)]
        assert sorted(more) == (["other-0"] if limits else ["big-1", "huge-1", "other-0", "small-1"])

    def test_a_sweep_queues_what_lost_its_owner_and_sets_aside_what_does_so_often(
        self, store: Store, clock: "Moment"
    ) -> None:
        store.queue.submit(run_row("a"), "{}")
        store.begin(run_row("child", parent="a"), "w", 10.0)
        store.begin(run_row("being-begun"), "w", 10.0)
        set_aside: tuple[str, ...] = ()
        for _ in range(3):
            assert [run.run_id for run in store.queue.take("w", 10.0, 5)] == ["a"]
            assert store.queue.sweep(3).lost == ()
            clock.now += 11.0
            swept = store.queue.sweep(3)
            assert swept.lost == ("a",)
            set_aside = swept.set_aside
        assert set_aside == ("a",)
        assert store.queue.take("w", 10.0, 5) == []
        assert store.queue.sweep(3).set_aside == ()
        assert store.doubtful("a") > 0
        assert store.queue.retry("a")
        assert [run.run_id for run in store.queue.take("w", 10.0, 5)] == ["a"]

    def test_a_sweep_sets_aside_no_run_that_did_not_just_lose_its_owner(self, store: Store, clock: "Moment") -> None:
        store.queue.submit(run_row("a"), "{}")
        store.queue.submit(run_row("later"), "{}", delay=100.0)
        assert store.queue.sweep(0).set_aside == ()
        assert [run.run_id for run in store.queue.take("w", 10.0, 5)] == ["a"]
        clock.now += 11.0
        assert store.queue.sweep(2).set_aside == ()
        assert store.queue.sweep(1) == Swept()  # it is queued, and its owners died once
        assert [run.run_id for run in store.queue.take("w", 10.0, 5)] == ["a"]

    def test_a_waiting_run_goes_on_with_its_answer_or_when_its_time_came(self, store: Store, clock: "Moment") -> None:
        for name in "ab":
            store.queue.submit(run_row(name), "{}")
        for run in store.queue.take("w", 10.0, 5):
            wake = clock.now + 3.0 if run.run_id == "b" else None
            store.set_status(run.run_id, Status.WAITING, token=run.token, wake=wake)
            store.flush()
            assert not store.queue.answer(run.run_id, "1")  # it is still owned
            store.release(run.run_id, run.token)
        assert store.queue.answer("a", '{"value": 1}')
        assert not store.queue.answer("a", '{"value": 2}')
        assert [(run.run_id, run.answer) for run in store.queue.take("w", 10.0, 5)] == [("a", '{"value": 1}')]
        assert store.queue.sweep(3).due == ()
        clock.now += 3.0
        assert store.queue.sweep(3).due == ("b",)
        assert [run.run_id for run in store.queue.take("w", 10.0, 5)] == ["b"]

    def test_a_sweep_after_an_outage_takes_nothing_from_owners_that_may_live(
        self, store: Store, clock: "Moment"
    ) -> None:
        machine, _, started, rest = owner_name().split("|")
        dead = "|".join((machine, "999999999", started, rest))
        for name, owner in (("a", "elsewhere|1|1|x"), ("b", dead)):
            store.queue.submit(run_row(name), "{}")
            assert [run.run_id for run in store.queue.take(owner, 10.0, 5)] == [name]
        clock.now += 11.0
        assert store.queue.sweep(3, proven=True).lost == ("b",)
        assert store.queue.sweep(3).lost == ("a",)

    def test_one_queued_run_is_taken_before_its_time(self, store: Store) -> None:
        store.queue.submit(run_row("a"), "asked", delay=1_000.0)
        assert store.queue.take("v", 30, 5) == []
        taken = store.queue.take_one("a", "v", 30)
        assert taken is not None
        assert (taken.run_id, taken.request) == ("a", "asked")
        assert store.queue.take_one("a", "w", 30) is None
        assert store.queue.take_one("none", "w", 30) is None

    def test_a_waiting_run_whose_owner_is_gone_is_answered_like_one_that_was_released(
        self, store: Store, clock: "Moment"
    ) -> None:
        for name in "ab":
            store.queue.submit(run_row(name), "{}")
        for run in store.queue.take("w", 10.0, 5):
            wake = clock.now + 3.0 if run.run_id == "b" else None
            store.set_status(run.run_id, Status.WAITING, token=run.token, wake=wake)
        store.flush()
        clock.now += 11.0
        assert store.queue.sweep(3).lost == ()
        store.queue.sweep(3)
        assert store.queue.answer("a", '{"value": 1}')
        assert sorted(run.run_id for run in store.queue.take("v", 10.0, 5)) == ["a", "b"]

    def test_all_tenants_together_may_have_a_limit(self, store: Store) -> None:
        for name in "abcd":
            store.queue.submit(run_row(name, labels={"tenant": name}), "{}")
        assert len(store.queue.take("w", 10.0, 9, {"**": 3})) == 3
        assert store.queue.take("w", 10.0, 9, {"**": 3}) == []
        assert len(store.queue.take("w", 10.0, 9, {"**": 4, "*": 1})) == 1

    def test_a_worker_may_say_why_it_left_a_run(self, store: Store) -> None:
        store.queue.submit(run_row("a"), "{}")
        (run,) = store.queue.take("w", 10.0, 1)
        assert store.queue.requeue("a", run.token, note="no tool here gives title")
        row = store.run("a")
        assert row is not None
        assert (row.status, row.summary["left"]) == (Status.QUEUED, "no tool here gives title")

    def test_the_queue_says_when_its_next_run_may_start(self, store: Store, clock: "Moment") -> None:
        assert store.queue.next_due() is None
        store.queue.submit(run_row("late"), "{}", delay=7.0)
        assert store.queue.next_due() == 7.0
        clock.now += 8.0
        assert store.queue.next_due() == 0.0

    def test_a_run_is_given_back_and_cancelled_from_elsewhere(self, store: Store) -> None:
        store.queue.submit(run_row("a"), "{}")
        (run,) = store.queue.take("w", 10.0, 5)
        assert not store.queue.requeue("a", run.token - 1)
        assert store.queue.requeue("a", run.token)
        (run,) = store.queue.take("v", 10.0, 5)
        assert store.queue.cancelled("v") == []
        assert store.queue.cancel("a")
        assert store.queue.cancelled("v") == ["a"]
        store.set_status("a", Status.ESCALATED, 2.0, token=run.token)
        store.flush()
        assert store.queue.cancelled("v") == []
        assert not store.queue.cancel("a")
        assert not store.queue.cancel("none")

    # ---------------------------------------------------------------- accounts, labels, keys

    def test_what_a_label_may_spend_is_leased_in_shares(self, store: Store, clock: "Moment") -> None:
        mine = store.accounts.lease("tenant=a", 10.0, 6.0, "p", 10.0)
        assert mine.usd == 6.0
        assert store.accounts.lease("tenant=a", 10.0, 6.0, "q", 5.0).usd == 4.0
        assert store.accounts.lease("tenant=a", 10.0, 1.0, "r", 5.0).usd == 0.0
        assert store.accounts.lease("tenant=b", 10.0, 1.0, "r", 5.0).usd == 1.0
        store.accounts.settle(mine, "p", spent=2.0, returned=1.0)
        assert store.accounts.spent("tenant=a") == 2.0
        assert store.accounts.lease("tenant=a", 10.0, 6.0, "r", 5.0).usd == 1.0
        clock.now += 6.0  # what q and r had leased returns
        assert store.accounts.lease("tenant=a", 10.0, 60.0, "r", 5.0).usd == 5.0
        clock.now += 86_400.0
        assert store.accounts.lease("tenant=a", 10.0, 60.0, "r", 5.0).usd == 10.0

    def test_runs_of_goals_that_a_worker_does_not_serve_are_neither_claimed_nor_in_the_way(
        self, store: Store, clock: "Moment", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("orchestrator.store.sql.candidates._LOOKED_AT", 4)
        for number in range(20):
            store.queue.submit(run_row(f"other-{number:02}", goal=f"theirs {number % 3}"), "{}")
        store.queue.submit(run_row("mine", goal="x + y"), "{}", delay=1.0)
        unclaimed = UnclaimedRuns({"y"}.__contains__, clock=lambda: clock.now)
        assert store.queue.take("w", 10.0, 5, unclaimed=unclaimed) == []
        assert store.queue.next_due(unclaimed) == 1.0
        clock.now += 3.0
        (run,) = store.queue.take("w", 10.0, 5, unclaimed=unclaimed)
        assert run.run_id == "mine"
        clock.now += LOOK_AGAIN_SECONDS
        assert store.queue.take("w", 10.0, 5, unclaimed=unclaimed) == []
        row = store.run("other-00")
        assert row is not None
        assert (row.status, row.summary["left"]) == (Status.QUEUED, "no tool here gives theirs 0")
        assert len(store.queue.take("v", 10.0, 3)) == 3

    def test_a_begun_run_is_claimed_whatever_its_goal_is(self, store: Store) -> None:
        store.queue.submit(run_row("a", goal="theirs"), "{}")
        (run,) = store.queue.take("w", 10.0, 5)
        store.append("a", "x", {}, 1.0, run.token)
        store.flush()
        assert store.queue.requeue("a", run.token)
        unclaimed = UnclaimedRuns({"mine"}.__contains__)
        assert [taken.run_id for taken in store.queue.take("w", 10.0, 5, unclaimed=unclaimed)] == ["a"]

    def test_a_run_that_nobody_can_serve_is_claimed_by_any_worker(self, store: Store) -> None:
        anyones = replace(run_row("a", goal="theirs"), summary={ANY_WORKER: True})
        store.queue.submit(anyones, "{}")
        store.queue.submit(run_row("b", goal="theirs"), "{}")
        unclaimed = UnclaimedRuns({"mine"}.__contains__)
        for _ in range(2):  # the second time, the goal is known not to be served
            found = store.queue.take("w", 10.0, 5, unclaimed=unclaimed)
            assert [taken.run_id for taken in found] == ["a"]
            assert store.queue.requeue("a", found[0].token)
            assert store.queue.next_due(unclaimed) == 0.0

    def test_a_run_that_a_worker_tried_is_left_to_others_for_longer_each_time(
        self, store: Store, clock: "Moment"
    ) -> None:
        store.queue.submit(run_row("a"), "{}")
        unclaimed = UnclaimedRuns(lambda _: True, clock=lambda: clock.now)
        for seconds in (2.0, 4.0, 8.0):
            (run,) = store.queue.take("w", 10.0, 5, unclaimed=unclaimed)
            unclaimed.leave("a", 2.0)
            store.queue.requeue("a", run.token)
            clock.now += seconds - 0.5
            assert store.queue.take("w", 10.0, 5, unclaimed=unclaimed) == []
            assert store.queue.next_due(unclaimed) is None
            clock.now += 0.5
        assert len(store.queue.take("v", 10.0, 5)) == 1
