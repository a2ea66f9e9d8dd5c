"""Workers killed and stopped, a database restarted and cut off, all at random: nothing is lost, nothing is doubled."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .campaign import FORKS, Campaign
from .server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server("chaos")
    yield server
    server.close()


def test_a_short_campaign(server: Server, tmp_path: Path) -> None:
    campaign = Campaign(server, str(tmp_path / "workers.log"), workers=3, seed=3)
    try:
        report = campaign.run(orders=15, disturbances=4, pause=0.5, limit=60)
    finally:
        campaign.close()
    assert not report.problems, report.problems
    assert sum(report.ended.values()) == 15
    print(report)


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_forks_and_stops_over_trees(server: Server, tmp_path: Path, seed: int) -> None:
    """Orders with children, questions and compensations; workers fork, are stopped past their lease, and killed."""
    server.clear()
    campaign = Campaign(server, str(tmp_path / "workers.log"), workers=3, seed=seed, weights=FORKS)
    try:
        report = campaign.run(orders=50, disturbances=20, pause=1.0, limit=300)
    finally:
        campaign.close()
    print(report)
    assert not report.problems, report.problems
    assert sum(report.ended.values()) == 50


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_a_thousand_disturbances(server: Server, tmp_path: Path) -> None:
    """`ORCHESTRATOR_DISTURBANCES` scales it, `SEED` draws another one; a disturbance about each two seconds."""
    disturbances = int(os.environ.get("ORCHESTRATOR_DISTURBANCES", "1000"))
    campaign = Campaign(server, str(tmp_path / "workers.log"), workers=4, seed=int(os.environ.get("SEED", "1")))
    try:
        report = campaign.run(orders=5 * disturbances, disturbances=disturbances, pause=1.7, limit=3.5 * 3600)
    finally:
        campaign.close()
    print(report)
    assert not report.problems, report.problems
    assert max(report.takeovers) < 5.0
