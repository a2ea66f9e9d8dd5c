"""Recorded outcomes of real models on questions, and the cost-quality frontiers of routers over them."""

import gzip
import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LAMBDAS = np.concatenate([[0.0], np.logspace(-3.5, 1.5, 60), [1e6]])
"""Settings of the dial, from best to cheapest."""


@dataclass(frozen=True)
class Bench:
    """Recorded outcomes: which model answered which question well, and what each model costs."""

    name: str
    questions: list[str]
    models: list[str]
    quality: Floats
    """Questions x models, in [0, 1]."""
    cost: Floats
    """Per model, as a share of the dearest."""
    cost_from: str
    split: int = 0
    """Which of the ways to halve the questions."""

    @cached_property
    def training(self) -> NDArray[np.bool_]:
        """Half of the questions, by a hash of the question."""
        digests = [hashlib.sha256(question.encode()).digest()[self.split] for question in self.questions]
        return np.array([digest % 2 == 0 for digest in digests])

    @property
    def labels(self) -> Floats:
        """Outcomes of the training questions."""
        known: Floats = self.quality[self.training]
        return known

    @property
    def truth(self) -> Floats:
        """Outcomes of the test questions."""
        unseen: Floats = self.quality[~self.training]
        return unseen

    def halved(self, split: int) -> "Bench":
        """The same outcomes, halved another way."""
        return replace(self, split=split)


def routellm(data: Path, subset: str) -> Bench:
    """RouteLLM's MMLU or GSM8K: was mixtral right, was gpt-4 right."""
    rows: dict[str, tuple[str, list[float]]] = {}
    with gzip.open(data / "routellm" / "mmlu_gsm8k_mixtral_vs_gpt4.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["subset"].startswith(subset):
                both = [float(row[model] == "True") for model in ("mixtral", "gpt4")]
                rows.setdefault(_same(row["prompt"]), (row["prompt"], both))
    return _bench(
        f"RouteLLM {subset.upper()}",
        rows,
        ["mixtral-8x7b", "gpt-4"],
        [0.24, 24.7],
        "US dollars per million tokens, as the RouteLLM paper counts them",
    )


def nine_models(data: Path) -> Bench:
    """LLMRouter: 9 models."""
    with gzip.open(data / "llmrouter_9models" / "train.json.gz", "rt", encoding="utf-8") as file:
        loaded: list[dict[str, Any]] = json.load(file)
    models = sorted(loaded[0]["scores"])
    rows: dict[str, tuple[str, list[float]]] = {}
    for row in loaded:
        rows.setdefault(_same(row["question"]), (row["question"], [float(row["scores"][m]) for m in models]))
    sizes = [float(re.findall(r"(\d+)b", model)[-1]) for model in models]
    return _bench("LLMRouter-9", rows, models, sizes, "parameters in the model's name, since the data has no prices")


def _same(question: str) -> str:
    """What two copies of a question share."""
    return re.sub(r"\W+", "", question.lower())


def _bench(
    name: str, rows: dict[str, tuple[str, list[float]]], models: list[str], cost: list[float], cost_from: str
) -> Bench:
    kept = [rows[key] for key in sorted(rows)]
    price = np.array(cost) / max(cost)
    return Bench(name, [q for q, _ in kept], models, np.array([y for _, y in kept]), price, cost_from)


@dataclass(frozen=True)
class Frontier:
    """What a router chose at each setting of its dial: cost and quality, settings x test questions."""

    cost: Floats
    quality: Floats

    def areas(self, weights: Floats, low: float, high: float) -> Floats:
        """Mean quality over the budgets between `low` and `high`, for each row of question weights."""
        budgets = np.linspace(low, high, 201)
        costs, qualities = weights @ self.cost.T, weights @ self.quality.T
        found: list[float] = []
        for x, y in zip(costs, qualities, strict=True):
            order = np.argsort(x, kind="stable")
            found.append(float(np.interp(budgets, x[order], y[order]).mean()))
        return np.array(found)

    def area(self, bench: Bench) -> float:
        """Mean quality over the budgets between the cheapest and the dearest model."""
        count = self.cost.shape[1]
        plain = np.full((1, count), 1 / count)
        return float(self.areas(plain, float(bench.cost.min()), float(bench.cost.max()))[0])

    @property
    def best_quality(self) -> float:
        """Mean quality with the dial at best."""
        return float(self.quality[0].mean())


def choices(bench: Bench, predicted: Floats) -> list[NDArray[np.intp]]:
    """The model chosen for each question at each setting of the dial, from best to cheapest."""
    return [np.argmax(predicted - weight * bench.cost, axis=1) for weight in LAMBDAS]


def frontier(bench: Bench, predicted: Floats) -> Frontier:
    """Choose by predicted quality - lambda x cost, from best to cheapest."""
    truth = bench.truth
    rows = np.arange(len(truth))
    chosen = choices(bench, predicted)
    return Frontier(np.stack([bench.cost[c] for c in chosen]), np.stack([truth[rows, c] for c in chosen]))


def mixing(bench: Bench) -> Frontier:
    """Random: each question to the cheapest or to the dearest model by the toss of a coin, at every bias."""
    truth = bench.truth
    ends = [int(np.argmax(bench.cost)), int(np.argmin(bench.cost))]
    return Frontier(
        np.stack([np.full(len(truth), bench.cost[end]) for end in ends]), np.stack([truth[:, e] for e in ends])
    )


def cheapest(bench: Bench) -> Frontier:
    """Always the cheapest model."""
    truth, end = bench.truth, int(np.argmin(bench.cost))
    return Frontier(np.full((1, len(truth)), bench.cost[end]), truth[:, end][None, :])


def interval(values: Floats) -> tuple[float, float]:
    """The 95 % bootstrap interval."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
