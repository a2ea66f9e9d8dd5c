"""A run with real effects in a process that dies by `kill -9` at a chosen instant, and the world that it acts on."""

import asyncio
import itertools
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from orchestrator import NOT_DONE, Goal, Orchestrator, Tool, Unavailable

WINDOWS = ("before_intent", "intent_to_call", "in_call", "effect_to_result", "in_compensation", "at_commit")


@dataclass(frozen=True)
class Death:
    """Where one life of the process ends; nowhere by default."""

    window: str = ""
    victim: str = ""
    """The write at which it dies, for a window that has one."""
    record: int = 0
    """Before this record of its life, counted from 1, is written."""
    flushed: bool = False
    """Whether the records before it are durable by then, or those of the last moment lost."""
    after: float | None = None
    """Seconds after which somebody else kills it."""


class World:
    """Effects, done by another process than the one that dies; written to a file as they happen."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "effects.log"
        self.log.touch()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._lock = threading.Lock()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rw") as stream:
            line = stream.readline()
            if not line:
                return
            asked = json.loads(line)
            with self._lock:
                done = self.net()
                if asked["op"] == "ask":
                    reply = done[asked["what"]] > 0
                else:
                    with self.log.open("a") as log:
                        log.write(f"{asked['op']} {asked['what']}\n")
                    reply = True
            try:
                stream.write(json.dumps(reply) + "\n")
                stream.flush()
            except OSError:
                return  # who asked is dead: the effect took place all the same

    def lines(self) -> list[str]:
        """What happened, in order."""
        return self.log.read_text().splitlines()

    def net(self) -> Counter[str]:
        """How often each effect stands."""
        count: Counter[str] = Counter()
        for line in self.lines():
            op, what = line.split()
            count[what] += {"do": 1, "undo": -1}.get(op, 0)
        return count

    def close(self) -> None:
        """Stop."""
        self._server.close()


def tell(port: int, op: str, what: str, *, die_in_call: bool = False) -> Any:
    """Ask the world for something; dying in the call means not to wait for its reply."""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rw") as stream:
        stream.write(json.dumps({"op": op, "what": what}) + "\n")
        stream.flush()
        if die_in_call:
            die()
        return json.loads(stream.readline())


def die() -> None:
    """What `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def workflow(port: int, death: "Death", *, fails: bool) -> list[Tool]:
    """Two reads, two writes, an end; the process may die at one of the writes."""
    window, victim = death.window, death.victim

    def read(name: str, *needs: str) -> Tool:
        def call(**inputs: int) -> int:
            tell(port, "read", name)
            return 1 + sum(inputs.values())

        return Tool(call, name=name, needs=needs, gives={name: int})

    def write(name: str, *needs: str) -> Tool:
        here = name == victim

        def call(**inputs: int) -> int:
            if here and window == "intent_to_call":
                die()
            tell(port, "do", name, die_in_call=here and window == "in_call")
            if here and window == "in_reconcile":
                raise TimeoutError("no answer")
            if here and window == "effect_to_result":
                die()
            return 10 + sum(inputs.values())

        def find(**inputs: int) -> Any:
            if here and window == "in_reconcile":
                time.sleep(0.2)  # the end of the call is on record by then
                die()
            return 10 + sum(inputs.values()) if tell(port, "ask", name) else NOT_DONE

        def undo(output: int) -> None:
            tell(port, "undo", name, die_in_call=here and window == "in_compensation")

        return Tool(
            call,
            name=name,
            needs=needs,
            gives={name: int},
            effect="write",
            reconcile=find,
            compensate=undo,
            undo_cost=0.01,
        )

    def end(**inputs: int) -> int:
        if fails:
            raise Unavailable("the last step is down")
        tell(port, "read", "end")
        return sum(inputs.values())

    return [
        read("look"),
        write("book", "look"),
        read("check", "book"),
        write("pay", "book", "check"),
        Tool(end, name="end", needs=("pay", "check"), gives={"end": int}),
    ]


def run_once(folder: str, port: int, fails: bool, death: Death, first: bool, keeps: str, store: str = "") -> None:
    """One life of the process: begin the run, or pick it up. `store`: a database's URL, else a file in the folder."""
    run_id = Path(folder).name  # a database is shared by the tests

    async def live() -> None:
        tools = workflow(port, death, fails=fails)
        async with Orchestrator(tools, store=store or Path(folder) / "runs.db", monitors=()) as orc:
            _keep_less(orc, keeps)
            _die_when_told(orc, death)
            outcome = await (orc.run(Goal("end"), run_id=run_id) if first else orc.resume(run_id))
            told = {
                "status": str(outcome.status),
                "value": outcome.value if outcome.ok else None,
                "compensated": list(outcome.compensated),
                "uncompensated": list(outcome.uncompensated),
                "verified": orc.verify(run_id).ok,
                "replayed": [str(difference) for difference in orc.replay(run_id).differences],
            }
            (Path(folder) / "outcome.json").write_text(json.dumps(told))

    asyncio.run(live())


def _die_when_told(orc: Orchestrator, death: Death) -> None:
    """The instants that lie inside the engine: at the end of the run, and before an intent, or any record, is there."""
    store: Any = orc.store
    append, written = store.append, itertools.count(1)

    def dying(run_id: str, kind: str, body: Any, *rest: Any) -> None:
        intent = kind == "CallStarted" and body["tool"] == death.victim
        if (intent and death.window == "before_intent") or (kind == "RunEnded" and death.window == "at_commit"):
            die()
        if next(written) == death.record:
            if death.flushed:
                store.flush()
            die()
        append(run_id, kind, body, *rest)

    store.append = dying


def _keep_less(orc: Orchestrator, keeps: str) -> None:
    """A ledger that is not one: it says nothing of effects, or of their intents only when the result is there."""
    store: Any = orc.store
    append = store.append
    late: dict[str, tuple[Any, ...]] = {}

    def forgetful(run_id: str, kind: str, body: Any, *rest: Any) -> None:
        effect = kind in ("CallStarted", "CallEnded") and body["tool"] in ("book", "pay")
        if effect and keeps == "no effects":
            return
        if effect and keeps == "late intents":
            if kind == "CallStarted":
                late[body["tool"]] = (run_id, kind, body, *rest)
                return
            if body["tool"] in late:
                append(*late.pop(body["tool"]))
        append(run_id, kind, body, *rest)

    store.append = forgetful


def crash_and_resume(
    processes: ForkServerContext,
    folder: Path,
    deaths: Sequence[Death],
    *,
    fails: bool,
    keeps: str = "all",
    store: str = "",
) -> tuple[World, dict[str, Any], int]:
    """Let a run die, pick it up, and so on, at last undisturbed.

    Tells what the world and the outcome say, and how many lives ended by `kill -9`. The outcome is empty when the run
    never came on record.
    """
    world = World(folder)
    died, path = 0, folder / "outcome.json"
    try:
        for life, death in enumerate((*deaths, Death())):
            args = (str(folder), world.port, fails, death, life == 0, keeps, store)
            process = processes.Process(target=run_once, args=args)
            process.start()
            process.join(death.after)
            if process.is_alive() and death.after is not None:
                process.kill()
            process.join(60)
            died += process.exitcode == -signal.SIGKILL
            assert process.exitcode in (0, 1, -signal.SIGKILL), f"a life ended with {process.exitcode}"
            if path.exists():
                break
        return world, json.loads(path.read_text()) if path.exists() else {}, died
    finally:
        world.close()
