"""The name of an owner says whether its process still lives."""

import os
import signal
import subprocess
import sys

import pytest

from orchestrator.store import owner_died, owner_name
from orchestrator.store.owner import owner_runs


def test_every_name_is_another_and_all_live() -> None:
    names = {owner_name() for _ in range(10)}
    assert len(names) == 10
    assert not any(owner_died(name) for name in names)


def test_a_process_that_ended_has_died_also_before_it_is_reaped() -> None:
    host = owner_name().split("|")[0]
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with open(f"/proc/{child.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    name = f"{host}|{child.pid}|{fields[19]}|{fields[25]}-x"
    assert not owner_died(name)
    assert owner_runs(name)
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert not owner_runs(name)
    assert not owner_died(name)
    os.kill(child.pid, signal.SIGCONT)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert owner_died(name)
    child.communicate()
    assert owner_died(name)


def test_a_process_id_used_again_is_another_process() -> None:
    host, pid, started, rest = owner_name().split("|")
    assert owner_died(f"{host}|{pid}|{int(started) + 1}|{rest}")


@pytest.mark.parametrize("name", ["", "me", "a|b|c|d", "other-host|1|1|x", "|||"])
def test_what_cannot_be_told_has_not_died(name: str) -> None:
    assert not owner_died(name)


def test_a_program_that_replaced_itself_is_another_owner() -> None:
    code = """if 1:
        import os, sys
        from orchestrator.store.owner import owner_name, owner_died
        if len(sys.argv) == 1:
            os.execv(sys.executable, [sys.executable, "-c", sys.orig_argv[2], owner_name()])
        print(owner_died(sys.argv[1]), owner_died(owner_name()))
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "False"]


def test_a_forked_child_is_another_owner() -> None:
    parent = owner_name()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if owner_name().split("|")[1] != parent.split("|")[1] and not owner_died(parent) else 1)
    assert os.waitpid(pid, 0)[1] == 0
