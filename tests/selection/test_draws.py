"""Draws from Beta posteriors: the right distribution, and nothing decides but seed, turn, agent and skill."""

import numpy as np
import pytest

from orchestrator.selection.competence import sampling as draws

AGENTS = draws.keys_of(f"a{n}" for n in range(500))
SKILLS = draws.keys_of(f"s{n}" for n in range(100))


@pytest.mark.parametrize(("a", "b"), [(4.0, 1.0), (0.3, 0.5), (1.0, 3.0), (300.0, 20.0), (0.01, 0.02)])
def test_mean_and_variance_are_those_of_beta(a: float, b: float) -> None:
    drawn = draws.beta(np.full((100, 500), a), np.full((100, 500), b), SKILLS, AGENTS, 3, 7)
    variance = a * b / ((a + b) ** 2 * (a + b + 1))
    assert drawn.mean() == pytest.approx(a / (a + b), abs=4 * (variance / drawn.size) ** 0.5)
    assert drawn.var() == pytest.approx(variance, rel=0.05)
    assert 0 <= drawn.min() <= drawn.max() <= 1


def test_turns_and_seeds_are_independent() -> None:
    one = np.ones((1, 2))
    by_turn = np.array([draws.beta(one, one, SKILLS[:1], AGENTS[:2], 1, n)[0] for n in range(2000)])
    by_seed = np.array([draws.beta(one, one, SKILLS[:1], AGENTS[:1], n, 1)[0, 0] for n in range(2000)])
    assert abs(np.corrcoef(by_turn.T)[0, 1]) < 0.1  # of two agents
    assert abs(np.corrcoef(by_turn[1:, 0], by_turn[:-1, 0])[0, 1]) < 0.1
    assert by_turn.mean() == pytest.approx(0.5, abs=0.02)
    assert by_seed.mean() == pytest.approx(0.5, abs=0.04)


def test_a_draw_is_the_same_whoever_else_is_there() -> None:
    a, b = np.full((100, 500), 2.0), np.full((100, 500), 3.0)
    together = draws.beta(a, b, SKILLS, AGENTS, 5, 6)
    alone = draws.beta(a[:1, :1], b[:1, :1], SKILLS[17:18], AGENTS[33:34], 5, 6)
    assert alone[0, 0] == pytest.approx(together[17, 33], rel=1e-12)


def test_names_have_the_same_keys_everywhere() -> None:
    assert draws.keys_of(["", "sums"]).tolist() == [13020603013274838756, 2002228405236654534]
