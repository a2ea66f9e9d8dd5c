"""Competence of many agents in many skills at once: the posteriors of the handbook as arrays."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy

import numpy as np

from orchestrator.selection.choice.demand import Demand
from orchestrator.selection.skills.handbook import Handbook

from .estimation import neutral_prior, prior_of
from .sampling import Floats
from .task_size import size_shifts, size_weights


class CompetenceTable:
    """Posterior parameters per agent and skill, the same numbers as `competence`; column 0 is for neutral demands.

    Arrays have the shape (skills + 1, agents), so that the agents of one skill lie side by side.
    """

    def __init__(
        self,
        declared: Mapping[str, Mapping[str, float]],
        handbook: Handbook,
        relative_prices: Mapping[str, float] | None = None,
    ) -> None:
        self.names: tuple[str, ...] = tuple(sorted(declared))
        self.rows = {name: row for row, name in enumerate(self.names)}
        self._declared = {name: dict(declared[name]) for name in self.names}
        self._relative_prices = dict(relative_prices or {})
        known = {*handbook.skills, *(skill for skills in declared.values() for skill in skills)}
        self.skills: tuple[str, ...] = tuple(sorted(known))
        self._columns = {"": 0, **{skill: column for column, skill in enumerate(self.skills, 1)}}
        shape = (len(self.skills) + 1, len(self.names))
        self.a: Floats = np.ones(shape)
        self.b: Floats = np.ones(shape)
        self.seen: Floats = np.zeros(shape)
        self.mean: Floats = np.zeros(shape)
        self.by_size: Floats = np.zeros((2, len(self.names)))
        """The effects of short and of long work on competence."""
        self.record: Floats = np.zeros((2, len(self.names)))
        """Recent successes and failures of each agent under any demand."""
        for skill in self._columns:
            self._fill(skill, self.names, handbook)
        self._fill_sizes(self.names, handbook)

    def copy(self) -> "CompetenceTable":
        """A copy of the arrays, so that changes do not affect readers of this table."""
        copied = copy(self)
        copied.a, copied.b = self.a.copy(), self.b.copy()
        copied.record = self.record.copy()
        copied.seen, copied.mean, copied.by_size = self.seen.copy(), self.mean.copy(), self.by_size.copy()
        return copied

    def refresh(self, agents: Iterable[str], skills: Iterable[str], handbook: Handbook) -> None:
        """Update with the handbook's current values of some agents in all skills, and of all agents in some skills."""
        names = sorted(agents)
        for skill in self._columns:
            self._fill(skill, names, handbook)
        for skill in sorted({"", *skills} & set(self._columns)):
            self._fill(skill, self.names, handbook)
        self._fill_sizes(self.names, handbook)

    def relative_price(self, agent: str) -> float:
        """Relative price of an agent among its alternatives (`relative_prices`)."""
        return self._relative_prices.get(agent, 0.0)

    def _fill_sizes(self, agents: Iterable[str], handbook: Handbook) -> None:
        for name in agents:
            self.by_size[:, self.rows[name]] = size_shifts(*handbook.by_size(name), self.relative_price(name))

    def _fill(self, skill: str, agents: Iterable[str], handbook: Handbook) -> None:
        column = self._columns[skill]
        for name in agents:
            declared, row = self._declared[name], self.rows[name]
            if skill:
                (a, b) = prior_of(name, skill, declared, handbook, self.relative_price(name))
                seen = handbook.evidence(name, skill)
            else:
                (a, b), seen = neutral_prior(declared), handbook.record(name)
                self.record[:, row] = seen.successes, seen.failures
            a, b = a + seen.successes, b + seen.failures
            self.a[column, row], self.b[column, row] = a, b
            self.seen[column, row], self.mean[column, row] = seen.total, a / (a + b)

    def knows(self, demand: Demand) -> bool:
        """Whether every demanded skill has a column."""
        return self._columns.keys() >= set(demand.skills)

    def columns(self, demand: Demand) -> tuple[list[int], Floats]:
        """Columns and weights of a demand."""
        if demand.neutral:
            return [0], np.ones(1)
        return [self._columns[skill] for skill in demand.skills], np.array([weight for _, weight in demand.items])

    def means(self, columns: Sequence[int], weights: Floats) -> Floats:
        """Expected competence of every agent."""
        return weighed(self.mean, columns, weights)

    def shifts(self, size: float | None) -> Floats:
        """The effect of the size of the work on the competence of every agent."""
        if size is None:
            return np.zeros(len(self.names))
        short, long = size_weights(size)
        added: Floats = short * self.by_size[0] + long * self.by_size[1]
        return added

    def expected(self, demand: Demand) -> Floats:
        """Expected competence of every agent under a demand, in [0, 1]."""
        means = self.means(*self.columns(demand))
        return means if demand.size is None else np.clip(means + self.shifts(demand.size), 0.0, 1.0)

    def variances(self, columns: Sequence[int], weights: Floats) -> Floats:
        """Variance of the competence of every agent."""
        a, b = self.a[columns], self.b[columns]
        total = a + b
        variance: Floats = (weights * weights) @ (a * b / (total * total * (total + 1)))
        return variance

    def evidence(self, columns: Sequence[int], weights: Floats) -> Floats:
        """Number of recent calls behind each agent's estimate."""
        return weighed(self.seen, columns, weights) / float(np.dot(weights, weights))

    def posteriors(self, columns: Sequence[int], name: str) -> list[tuple[float, float]]:
        """The Beta posterior (a, b) of an agent in each of these columns."""
        row = self.rows[name]
        return [(float(self.a[column, row]), float(self.b[column, row])) for column in columns]


def weighed(values: Floats, columns: Sequence[int], weights: Floats) -> Floats:
    """The weighted sum of the columns; a few columns are added one by one, which is faster and copies nothing."""
    if len(columns) > 8:
        spread = np.zeros(len(values))
        spread[columns] = weights
        summed: Floats = np.einsum("s,sa->a", spread, values)  # not BLAS, whose threads wait for each other when busy
        return summed
    total: Floats = weights[0] * values[columns[0]]
    for column, weight in zip(columns[1:], weights[1:].tolist(), strict=True):
        total += weight * values[column]
    return total
