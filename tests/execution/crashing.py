"""A run with real effects in a process that dies by `kill -9` at a chosen instant, and the world that it acts on."""

import asyncio
import json
import os
import signal
import socket
import threading
from collections import Counter
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from orchestrator import NOT_DONE, Goal, Orchestrator, Tool, Unavailable

WINDOWS = ("before_intent", "intent_to_call", "in_call", "effect_to_result", "in_compensation", "at_commit")


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


def workflow(port: int, window: str, victim: str, *, fails: bool) -> list[Tool]:
    """Two reads, two writes, an end; `victim` is the write at which the process dies."""

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
            if here and window == "effect_to_result":
                die()
            return 10 + sum(inputs.values())

        def find(**inputs: int) -> Any:
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


def run_once(folder: str, port: int, window: str, victim: str, fails: bool, resume: bool) -> None:
    """One life of the process: begin the run, or pick it up."""

    async def live() -> None:
        tools = workflow(port, "" if resume else window, victim, fails=fails)
        async with Orchestrator(tools, store=Path(folder) / "runs.db", monitors=()) as orc:
            if not resume:
                _die_when_told(orc, window, victim)
            outcome = await (orc.resume("r") if resume else orc.run(Goal("end"), run_id="r"))
            told = {
                "status": str(outcome.status),
                "value": outcome.value if outcome.ok else None,
                "compensated": list(outcome.compensated),
                "uncompensated": list(outcome.uncompensated),
                "verified": orc.verify("r").ok,
            }
            (Path(folder) / "outcome.json").write_text(json.dumps(told))

    asyncio.run(live())


def _die_when_told(orc: Orchestrator, window: str, victim: str) -> None:
    """The two instants that lie inside the engine: before an intent is on record, and at the end of the run."""
    append: Any = orc.store.append

    def dying(run_id: str, kind: str, body: Any, *rest: Any) -> None:
        if window == "before_intent" and kind == "CallStarted" and body["tool"] == victim:
            die()
        if window == "at_commit" and kind == "RunEnded":
            die()
        append(run_id, kind, body, *rest)

    store: Any = orc.store
    store.append = dying


def crash_and_resume(
    processes: ForkServerContext, folder: Path, window: str, victim: str, *, fails: bool, after: float | None = None
) -> tuple[World, dict[str, Any], bool]:
    """Let a run die (in a window, or after some seconds), pick it up, and tell what the world and the outcome say."""
    world = World(folder)
    try:
        first = processes.Process(target=run_once, args=(str(folder), world.port, window, victim, fails, False))
        first.start()
        first.join(after)
        if first.is_alive() and after is not None:
            first.kill()
        first.join(30)
        died = first.exitcode == -signal.SIGKILL
        begun = (folder / "runs.db").exists() and not (folder / "outcome.json").exists()
        if begun:
            second = processes.Process(target=run_once, args=(str(folder), world.port, window, victim, fails, True))
            second.start()
            second.join(60)
            assert second.exitcode in (0, 1), f"the second life ended with {second.exitcode}"
        path = folder / "outcome.json"
        return world, json.loads(path.read_text()) if path.exists() else {}, died
    finally:
        world.close()
