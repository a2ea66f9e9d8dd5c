"""Routers to compare: training questions, training labels (NaN: unknown), test questions -> predicted quality."""

from collections.abc import Callable

import numpy as np

from benchmarks._outcomes import Bench, Floats
from orchestrator import Agent
from orchestrator.core.policy import Policy
from orchestrator.selection import Exploration, Handbook, HashedEmbedding, Observation, Selector, SkillIndex, discover
from orchestrator.selection.competence.priors import relative_prices
from orchestrator.selection.competence.table import CompetenceTable
from orchestrator.selection.learning.updates import learn

Predict = Callable[[Bench, Floats], Floats]


class Features:
    """Hashed features of a bench's questions, weighed by inverse document frequency for the baselines."""

    def __init__(self, bench: Bench) -> None:
        raw = HashedEmbedding()(bench.questions)
        rarity = np.log(1 / ((raw[bench.training] != 0).mean(axis=0) + 1e-3))
        weighed = raw * rarity
        weighed /= np.linalg.norm(weighed, axis=1, keepdims=True) + 1e-9
        self.train: Floats = weighed[bench.training]
        self.test: Floats = weighed[~bench.training]


def best_single(bench: Bench, labels: Floats) -> Floats:
    """The mean of each model, whatever is asked."""
    return np.tile(np.nanmean(labels, axis=0), (int((~bench.training).sum()), 1))


def neighbours(features: Features, k: int) -> Predict:
    """The mean over the k nearest training questions."""

    def predict(bench: Bench, labels: Floats) -> Floats:
        del bench
        near = np.argpartition(-(features.test @ features.train.T), k, axis=1)[:, :k]
        means: Floats = labels[near].mean(axis=1)
        return means

    return predict


def ridge(features: Features) -> Predict:
    """Ridge regression of quality on features; its strength is chosen on a fifth of the training questions."""

    def fit(x: Floats, y: Floats, strength: float) -> Floats:
        weights: Floats = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ (y - y.mean(axis=0)))
        return weights

    def predict(bench: Bench, labels: Floats) -> Floats:
        del bench
        held = np.arange(len(labels)) % 5 == 0
        errors: dict[float, float] = {}
        for strength in (3.0, 10.0, 30.0, 100.0, 300.0):
            weights = fit(features.train[~held], labels[~held], strength)
            guess = features.train[held] @ weights + labels[~held].mean(axis=0)
            errors[strength] = float(((guess - labels[held]) ** 2).mean())
        weights = fit(features.train, labels, min(errors, key=lambda strength: errors[strength]))
        return features.test @ weights + labels.mean(axis=0)

    return predict


class BySkill:
    """This framework: skills discovered in the training questions, Beta posteriors per model and skill."""

    def __init__(self, bench: Bench) -> None:
        questions = np.array(bench.questions, dtype=object)
        train: list[str] = questions[bench.training].tolist()
        self.agents = [
            Agent(_idle, name=model, gives="answer", cost=cost)
            for model, cost in zip(bench.models, bench.cost.tolist(), strict=True)
        ]
        self.handbook = discover(train, keep_texts=False)
        index = SkillIndex(self.handbook)
        self.train = [index.demand(question) for question in train]
        self.test = [index.demand(question) for question in questions[~bench.training].tolist()]

    def observations(self, bench: Bench, labels: Floats) -> list[Observation]:
        """Known labels as outcomes; a partial score is one of either kind, weighed."""
        seen: list[Observation] = []
        for row, column in np.argwhere(~np.isnan(labels)).tolist():
            score, model = float(labels[row, column]), bench.models[column]
            for success, weight in ((True, score), (False, 1 - score)):
                if weight > 0:
                    seen.append(Observation(model, self.train[row], success, weight))
        return seen

    def __call__(self, bench: Bench, labels: Floats) -> Floats:
        return self.predicted(bench, learn(self.handbook, self.observations(bench, labels)))

    def predicted(self, bench: Bench, handbook: Handbook) -> Floats:
        """Competence of every model on every test question."""
        table = CompetenceTable({model: {} for model in bench.models}, handbook, relative_prices(self.agents))
        rows = [table.expected(demand) for demand in self.test]
        order = [table.rows[model] for model in bench.models]
        return np.stack(rows)[:, order]

    def chosen_labels(self, bench: Bench, labels: Floats, count: int, seed: int) -> Handbook:
        """A handbook learned from `count` labels that the selector asked for itself, exploring at the best dial."""
        explore, dear = Exploration("ucb", seed=seed), Policy(quality_value=1e6)
        selector = Selector(self.agents, handbook=self.handbook, exploration=explore, policy=dear)
        random = np.random.default_rng(seed)
        places = {model: column for column, model in enumerate(bench.models)}
        for row in random.choice(len(labels), count, replace=False).tolist():
            model = selector.select(self.train[row]).agent
            selector.learn(model, self.train[row], bool(random.random() < labels[row, places[model]]))
            selector.apply_pending()
        return selector.handbook


def _idle(question: str) -> str:
    return question
