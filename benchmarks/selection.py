"""Agents chosen by skill, measured: cost-quality frontiers on recorded outcomes of real models; the cost of a choice.

    python benchmarks/selection.py [DATA] [--write docs/benchmarks-selection.md]

DATA (default ../shared/data) holds `routellm/` and `llmrouter_9models/`; both come from public repositories on GitHub:
lm-sys/RouteLLM (evals/mmlu, evals/gsm8k) and ulab-uiuc/LLMRouter (data/dcrouter_preprocessed, train).
"""

import argparse
import asyncio
import gzip
import hashlib
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from langgraph.graph import StateGraph
from numpy.typing import NDArray

from orchestrator import Agent
from orchestrator.policy import Policy
from orchestrator.selection import (
    Demand,
    Evidence,
    Exploration,
    Handbook,
    HashedEmbedding,
    Observation,
    Profile,
    Selector,
    SkillIndex,
    discover,
)
from orchestrator.selection.learning import learn
from orchestrator.selection.table import CompetenceTable

Floats = NDArray[np.float64]
LAMBDAS = np.concatenate([[0.0], np.logspace(-3.5, 1.5, 60), [1e6]])
RESAMPLES = 1000
STEPS = 10


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

    @property
    def training(self) -> NDArray[np.bool_]:
        """Half of the questions, by a hash of the question."""
        digests = [hashlib.sha256(question.encode()).digest()[0] for question in self.questions]
        return np.array([digest % 2 == 0 for digest in digests])


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


# -- routers: training questions, training labels (NaN: unknown), test questions -> predicted quality ----------------

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
        table = CompetenceTable({model: {} for model in bench.models}, handbook)
        rows = [table.means(*table.columns(demand)) for demand in self.test]
        order = [table.rows[model] for model in bench.models]
        return np.stack(rows)[:, order]

    def chosen_labels(self, bench: Bench, labels: Floats, count: int, seed: int) -> Handbook:
        """A handbook learned from `count` labels that the selector asked for itself, exploring at the best dial."""
        agents = [Agent(_idle, name=model, gives="answer", skills={}) for model in bench.models]
        explore = Exploration("thompson", seed=seed)
        selector = Selector(agents, handbook=self.handbook, exploration=explore, policy=Policy(quality_value=1.0))
        random = np.random.default_rng(seed)
        places = {model: column for column, model in enumerate(bench.models)}
        for row in random.choice(len(labels), count, replace=False).tolist():
            model = selector.select(self.train[row]).agent
            selector.learn(model, self.train[row], bool(random.random() < labels[row, places[model]]))
            selector.apply_pending()
        return selector.handbook


def _idle(question: str) -> str:
    return question


# -- frontiers -------------------------------------------------------------------------------------------------------


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

    @property
    def best_quality(self) -> float:
        """Mean quality with the dial at best."""
        return float(self.quality[0].mean())


def frontier(bench: Bench, predicted: Floats) -> Frontier:
    """Choose by predicted quality - lambda x cost, from best to cheapest."""
    truth = bench.quality[~bench.training]
    rows = np.arange(len(truth))
    chosen = [np.argmax(predicted - weight * bench.cost, axis=1) for weight in LAMBDAS]
    return Frontier(np.stack([bench.cost[c] for c in chosen]), np.stack([truth[rows, c] for c in chosen]))


def mixing(bench: Bench) -> Frontier:
    """Random: each question to the cheapest or to the dearest model by the toss of a coin, at every bias."""
    truth = bench.quality[~bench.training]
    ends = [int(np.argmax(bench.cost)), int(np.argmin(bench.cost))]
    return Frontier(
        np.stack([np.full(len(truth), bench.cost[end]) for end in ends]), np.stack([truth[:, e] for e in ends])
    )


def cheapest(bench: Bench) -> Frontier:
    """Always the cheapest model."""
    truth, end = bench.quality[~bench.training], int(np.argmin(bench.cost))
    return Frontier(np.full((1, len(truth)), bench.cost[end]), truth[:, end][None, :])


def interval(values: Floats) -> tuple[float, float]:
    """The 95 % bootstrap interval."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def report(bench: Bench) -> list[str]:
    """Everything measured on one bench, as Markdown."""
    training = bench.training
    labels, tests = bench.quality[training], int((~training).sum())
    features, ours = Features(bench), BySkill(bench)
    truth = bench.quality[~training]
    routers: dict[str, Frontier] = {
        "random": mixing(bench),
        "cheapest": cheapest(bench),
        "best single": frontier(bench, best_single(bench, labels)),
        "kNN (30)": frontier(bench, neighbours(features, 30)(bench, labels)),
        "kNN (100)": frontier(bench, neighbours(features, 100)(bench, labels)),
        "ridge": frontier(bench, ridge(features)(bench, labels)),
        "by skill": frontier(bench, ours(bench, labels)),
        "oracle": frontier(bench, truth),
    }
    random = np.random.default_rng(0)
    weights = random.multinomial(tests, np.full(tests, 1 / tests), size=RESAMPLES) / tests
    plain = np.full((1, tests), 1 / tests)
    low, high = float(bench.cost.min()), float(bench.cost.max())
    areas = {name: router.areas(plain, low, high)[0] for name, router in routers.items()}
    samples = {name: router.areas(weights, low, high) for name, router in routers.items()}
    lines = [
        f"## {bench.name}",
        "",
        f"{len(bench.questions)} distinct questions, {tests} of them for testing; {len(bench.models)} models; "
        f"{len(ours.handbook.skills)} skills discovered. Cost: {bench.cost_from}.",
        "",
        "| router | area under the frontier | 95 % interval | quality with the dial at best |",
        "|---|---|---|---|",
    ]
    for name, router in routers.items():
        a, b = interval(samples[name])
        lines.append(f"| {name} | {areas[name]:.4f} | {a:.4f} to {b:.4f} | {router.best_quality:.4f} |")
    rivals = [name for name in routers if name not in ("by skill", "oracle")]
    best = max(rivals, key=lambda name: areas[name])
    a, b = interval(samples["by skill"] - samples[best])
    gap = areas["by skill"] - areas[best]
    verdict = "at least that of the best baseline, within the interval" if b >= 0 else "below the best baseline"
    lines += ["", f"By skill against {best}, the best baseline: {gap:+.4f} ({a:+.4f} to {b:+.4f}): {verdict}."]
    single = routers["by skill"].best_quality - routers["best single"].best_quality
    difference = weights @ (routers["by skill"].quality[0] - routers["best single"].quality[0])
    a, b = interval(difference)
    beats = "beats" if a > 0 else "does not beat"
    lines += ["", f"At the best dial, by skill {beats} best single: {single:+.4f} ({a:+.4f} to {b:+.4f}).", ""]
    return lines + little(bench, ours, labels, areas["by skill"], routers["by skill"].best_quality)


def little(bench: Bench, ours: BySkill, labels: Floats, area: float, quality: float) -> list[str]:
    """What is lost when only 1 % of the labels are known: drawn at random, or asked for by the selector itself."""
    tests = int((~bench.training).sum())
    plain, low, high = np.full((1, tests), 1 / tests), float(bench.cost.min()), float(bench.cost.max())
    count = max(1, labels.size // 100)
    losses: dict[str, list[tuple[float, float]]] = {}
    for seed in range(20):
        random = np.random.default_rng(seed)
        known = np.full(labels.shape, np.nan)
        picked = random.choice(labels.size, count, replace=False)
        known.flat[picked] = labels.flat[picked]
        whole = np.full(labels.shape, np.nan)
        asked = random.choice(len(labels), max(1, len(labels) // 100), replace=False)
        whole[asked] = labels[asked]
        books = {
            "drawn at random": learn(ours.handbook, ours.observations(bench, known)),
            "all models on 1 % of the questions": learn(ours.handbook, ours.observations(bench, whole)),
            "asked for by the selector": ours.chosen_labels(bench, labels, min(count, len(labels)), seed),
        }
        for way, book in books.items():
            found = frontier(bench, ours.predicted(bench, book))
            losses.setdefault(way, []).append((area - found.areas(plain, low, high)[0], quality - found.best_quality))
    lines = [
        f"Learned from 1 % of the (question, model) labels ({count} of {labels.size}), mean over 20 draws:",
        "",
        "| labels | loss in area, points | at most 1 | loss in quality at the best dial, points | at most 1 |",
        "|---|---|---|---|---|",
    ]
    for way, pairs in losses.items():
        in_area, in_quality = (100 * statistics.mean(pair[n] for pair in pairs) for n in (0, 1))
        spreads = [100 * statistics.stdev(pair[n] for pair in pairs) for n in (0, 1)]
        kept = ["yes" if loss <= 1 else "no" for loss in (in_area, in_quality)]
        lines.append(
            f"| {way} | {in_area:.2f} (sd {spreads[0]:.2f}) | {kept[0]} "
            f"| {in_quality:.2f} (sd {spreads[1]:.2f}) | {kept[1]} |"
        )
    return [*lines, ""]


# -- what a choice costs ---------------------------------------------------------------------------------------------


class State(TypedDict):
    """State of the smallest LangGraph there is."""

    n: int


def selection_cost() -> list[str]:
    """One choice among 1,000 agents with 200 skills, beside one step of LangGraph, in turns in the same process."""
    random = np.random.default_rng(0)
    skills = [f"s{n}" for n in range(200)]
    agents = [
        Agent(_idle, name=f"a{n}", gives="answer", skills=dict(zip(skills, row, strict=True)), cost=0.001 * (n % 7))
        for n, row in enumerate(random.random((1000, 200)).tolist())
    ]
    profiles = {
        agent.name: Profile(
            skills={s: Evidence(successes=a, failures=b) for s, (a, b) in zip(skills, row, strict=True)}
        )
        for agent, row in zip(agents, (50 * random.random((1000, 200, 2))).tolist(), strict=True)
    }
    selector = Selector(agents, handbook=Handbook(skills=Handbook.of(skills).skills, profiles=profiles))
    few, all_skills = Demand(dict.fromkeys(skills[:5], 1.0)), Demand(dict.fromkeys(skills, 1.0))
    times: dict[str, list[float]] = {"5 skills": [], "all 200 skills": [], "langgraph": []}
    for _ in range(60):
        for name, demand in (("5 skills", few), ("all 200 skills", all_skills)):
            started = time.perf_counter()
            for _ in range(STEPS):
                selector.select(demand)
            times[name].append((time.perf_counter() - started) / STEPS)
        times["langgraph"].append(asyncio.run(_langgraph_step()))
    medians = {name: 1e6 * statistics.median(values) for name, values in times.items()}
    lines = [
        "## What a choice costs",
        "",
        "1,000 agents with evidence in 200 skills; medians over ten choices in a row and ten steps in a row, "
        "by turns in one process.",
        "",
        "| | share of one LangGraph step |",
        "|---|---|",
    ]
    lines += [
        f"| choice under a demand of {name} | {medians[name] / medians['langgraph']:.2f} |"
        for name in ("5 skills", "all 200 skills")
    ]
    return [*lines, ""]


async def _langgraph_step() -> float:
    """Seconds per step of a graph of ten nodes, without a checkpointer."""

    def node(state: State) -> State:
        return {"n": state["n"] + 1}

    builder = StateGraph(State)
    builder.add_sequence([(f"n{n}", node) for n in range(STEPS)])
    builder.set_entry_point("n0")
    graph: Any = builder.compile()
    await graph.ainvoke({"n": 0})
    started = time.perf_counter()
    await graph.ainvoke({"n": 0})
    return (time.perf_counter() - started) / STEPS


HEAD = """# Selection, measured

Written by `python benchmarks/selection.py DATA --write docs/benchmarks-selection.md`. The framework sees the questions
and which model answered them well; it knows no subject names. Skills are discovered in the training questions (half of
them, by a hash of the question, duplicates removed), without a model; competence is learned from the training labels.
A router chooses by predicted quality - λ x cost; the area under its frontier is the mean quality over all budgets
between the cheapest and the dearest model. Intervals are from 1,000 bootstrap resamples of the test questions, and of
paired differences where two routers are compared. The baselines see features weighed by inverse document frequency.
The defaults of the embedding (the weight of words, pairs and letter groups) and of the demand (how many neighbours, how
sharp) were chosen on other splits of the same questions, so a little of what they gain here may be luck.
""".splitlines()


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description="Agents chosen by skill, measured.")
    parser.add_argument("data", nargs="?", default="../shared/data", type=Path)
    parser.add_argument("--write", type=Path, help="a Markdown file for the results")
    options = parser.parse_args(arguments)
    lines = [*HEAD, ""]
    if (options.data / "routellm").is_dir() and (options.data / "llmrouter_9models").is_dir():
        for bench in (routellm(options.data, "mmlu"), routellm(options.data, "gsm8k"), nine_models(options.data)):
            lines += report(bench)
    else:
        print(f"No data in {options.data}. {(__doc__ or '').split('DATA (', 1)[-1]}", file=sys.stderr)
    lines += selection_cost()
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
