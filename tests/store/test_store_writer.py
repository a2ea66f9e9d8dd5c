"""The writer's thread: order, bad items, and those who wait."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.errors import StoreError
from orchestrator.store.sql import writer as writer_module
from orchestrator.store.sql.writer import StoreOutage, Writer, WriteRequest


class Sink:
    """A database that does as it is told."""

    def __init__(self) -> None:
        self.committed: list[Any] = []
        self.rejected: list[Any] = []
        self.problems: list[str] = []
        self.told = threading.Event()
        self.fail: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()

    def commit(self, items: Sequence[Any]) -> None:
        self.gate.wait(30)
        if self.fail:
            raise self.fail.pop(0)
        if "bad" in items:
            raise ValueError("bad")
        for item in items:
            if isinstance(item, WriteRequest):
                item.answer = item.work(None, item)
        self.committed += [item for item in items if not isinstance(item, WriteRequest)]

    def reject(self, item: Any, error: Exception) -> str:
        self.rejected.append(item)
        return str(error)

    def report(self, problem: str) -> None:
        self.problems.append(problem)
        self.told.set()


def flush(writer: Writer) -> bool:
    """Wait until all is committed."""
    durable = threading.Event()
    return writer.when_durable(durable.set) or durable.wait(30)


def test_items_are_committed_in_order_and_bad_ones_left_out() -> None:
    sink = Sink()
    writer = Writer(sink)
    sink.gate.clear()
    for item in ("a", "b", "bad", "c", "bad", "d"):
        assert writer.put(item)
    sink.gate.set()
    assert flush(writer)
    assert sink.committed == ["a", "b", "c", "d"]
    assert sink.rejected == ["bad", "bad"]
    assert writer.pending == 0
    writer.close(5)


def test_a_short_outage_is_no_problem_and_a_longer_one_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    writer = Writer(sink)
    sink.fail = [StoreOutage("away")] * 3
    writer.put("a")
    assert flush(writer)
    assert sink.problems == []
    monkeypatch.setattr(writer_module, "OUTAGE_GRACE", 0.1)
    sink.fail = [StoreOutage("away")] * 6
    writer.put("b")
    assert flush(writer)
    assert len(sink.problems) == 1
    assert writer.trouble is None
    assert sink.committed == ["a", "b"]
    writer.close(5)


def test_a_call_nobody_waits_for_any_more_is_not_done_unless_it_is_to_be_kept() -> None:
    sink = Sink()
    writer = Writer(sink)
    sink.gate.clear()
    done: list[str] = []
    for name, keep in (("dropped", False), ("kept", True)):

        def work(_connection: Any, _call: WriteRequest, name: str = name) -> None:
            done.append(name)

        call = WriteRequest(work, keep=keep)
        with pytest.raises(StoreError, match=r"did not answer within 0.05 s"):
            writer.call(call, 0.05)
    # The first was in the batch at hand already; a writer that is stuck in one can take nothing back.
    sink.gate.set()
    assert flush(writer)
    assert done[-1] == "kept"
    sink.gate.clear()
    writer.put("busy")
    while writer.pending and not sink.gate.is_set():
        with pytest.raises(StoreError):
            writer.call(WriteRequest(lambda _connection, _call: done.append("never")), 0.05)
        sink.fail = [StoreOutage("away")]
        sink.gate.set()
    assert flush(writer)
    assert sink.committed[-1] == "busy"
    writer.close(5)


def test_what_a_late_answer_took_is_given_back() -> None:
    sink = Sink()
    writer = Writer(sink)
    done: list[str] = []
    sink.gate.clear()

    def take(_connection: Any, call: WriteRequest) -> bool:
        done.append("take")
        call.abandoned = True  # the one who waited gives up while it is being done
        return True

    def undo(_connection: Any, _call: WriteRequest) -> None:
        done.append("undo")

    sink.gate.set()
    assert writer.call(WriteRequest(take, undo=undo), 30)
    assert flush(writer)
    assert done == ["take", "undo"]
    writer.close(5)


def test_an_error_in_a_call_is_its_callers() -> None:
    sink = Sink()
    writer = Writer(sink)

    def work(_connection: Any, _call: WriteRequest) -> None:
        raise KeyError("no")

    with pytest.raises(StoreError, match="refused what it was given"):
        writer.call(WriteRequest(work), 30)
    assert len(sink.rejected) == 1
    assert writer.call(WriteRequest(lambda _connection, _call: 42), 30) == 42
    writer.close(5)


def test_one_who_waits_and_fails_harms_nobody() -> None:
    sink = Sink()
    writer = Writer(sink)
    sink.gate.clear()
    writer.put("a")

    def closed_loop() -> None:
        raise RuntimeError("Event loop is closed")

    assert not writer.when_durable(closed_loop)
    sink.gate.set()
    assert flush(writer)
    assert writer.when_durable(closed_loop)
    writer.close(5)
    assert not writer.put("b")
    assert writer.closed


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("raised", [RuntimeError, SystemExit])
def test_a_writer_that_failed_continues(raised: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Sink):
        def reject(self, item: Any, error: Exception) -> str:
            if not self.rejected:
                self.rejected.append(item)
                raise raised("of our own")
            return super().reject(item, error)

    monkeypatch.setattr(writer_module, "_PAUSES", (0.01,))
    sink = Failing()
    writer = Writer(sink)
    writer.put("bad")
    if raised is SystemExit:  # it ends the thread: the next write begins another one
        thread = writer._thread  # pyright: ignore[reportPrivateUsage]
        assert thread is not None
        thread.join(30)
    else:
        assert sink.told.wait(30)
        assert "of our own" in sink.problems[0]
    writer.put("a")
    assert flush(writer)
    assert (sink.committed, sink.rejected, writer.trouble) == (["a"], ["bad", "bad"], None)
    writer.close(5)


def test_one_who_cannot_be_woken_keeps_no_other_waiting() -> None:
    def broken() -> None:
        raise ValueError("asleep")

    sink = Sink()
    writer = Writer(sink)
    sink.gate.clear()
    writer.put("a")
    assert not writer.when_durable(broken)
    durable = threading.Event()
    assert not writer.when_durable(durable.set)
    sink.gate.set()
    assert durable.wait(30)
    writer.close(5)
