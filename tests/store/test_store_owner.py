"""The name of an owner says whether its process still lives."""

import os
import subprocess
import sys

import pytest

from orchestrator.store import owner_died, owner_name


def test_every_name_is_another_and_all_live() -> None:
    names = {owner_name() for _ in range(10)}
    assert len(names) == 10
    assert not any(owner_died(name) for name in names)


def test_a_process_that_ended_has_died_also_before_it_is_reaped() -> None:
    host, _, _, rest = owner_name().split("|")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with open(f"/proc/{child.pid}/stat") as stat:
        started = stat.read().rpartition(")")[2].split()[19]
    name = f"{host}|{child.pid}|{started}|{rest}"
    assert not owner_died(name)
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
