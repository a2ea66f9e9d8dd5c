"""Agents chosen by skill, measured: cost-quality frontiers on recorded outcomes of real models; the cost of a choice.

    python benchmarks/selection.py [DATA] [--write docs/benchmarks/selection.md]

DATA (default ../shared/data) holds `routellm/` and `llmrouter_9models/`; both come from public repositories on GitHub:
lm-sys/RouteLLM (evals/mmlu, evals/gsm8k) and ulab-uiuc/LLMRouter (data/dcrouter_preprocessed, train).
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._choice_cost import selection_cost
from benchmarks._outcomes import (
    Bench,
    Floats,
    Frontier,
    cheapest,
    choices,
    frontier,
    interval,
    mixing,
    nine_models,
    routellm,
)
from benchmarks._routers import BySkill, Features, best_single, neighbours, ridge
from benchmarks._simulated import simulation

RESAMPLES = 1000
DRAWS = 20
SPLITS = 5
SHARES = (1, 2, 5, 10, 30)
"""Percent of the labels from which competence is learned."""
Draw = Callable[[Floats, float, int], Floats]
Loss = tuple[float, float]


class Measured:
    """Every router on one bench, halved one way."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.ours = BySkill(bench)
        labels, features = bench.labels, Features(bench)
        predicted = self.ours(bench, labels)
        self.routers: dict[str, Frontier] = {
            "random": mixing(bench),
            "cheapest": cheapest(bench),
            "best single": frontier(bench, best_single(bench, labels)),
            "kNN (30)": frontier(bench, neighbours(features, 30)(bench, labels)),
            "kNN (100)": frontier(bench, neighbours(features, 100)(bench, labels)),
            "ridge": frontier(bench, ridge(features)(bench, labels)),
            "by skill": frontier(bench, predicted),
            "oracle": frontier(bench, bench.truth),
        }
        self.areas = {name: router.area(bench) for name, router in self.routers.items()}
        self.rival = max((n for n in self.routers if n not in ("by skill", "oracle")), key=lambda n: self.areas[n])
        """The best baseline, oracle aside."""
        picked = np.array([np.bincount(row, minlength=len(bench.models)) for row in choices(bench, predicted)])
        self.needed = np.flatnonzero((picked >= 0.02 * len(predicted)).any(axis=0))
        """The models that by skill gives at least 2 % of the questions at some setting of the dial."""
        tests = len(bench.truth)
        self.weights = np.random.default_rng(0).multinomial(tests, np.full(tests, 1 / tests), size=RESAMPLES) / tests
        """Of the test questions in each bootstrap resample."""

    def resampled(self, router: str) -> Floats:
        """The area under a router's frontier in each resample."""
        return self.routers[router].areas(self.weights, float(self.bench.cost.min()), float(self.bench.cost.max()))

    @cached_property
    def gap(self) -> tuple[float, float, float]:
        """How far by skill lies above the best baseline, with the 95 % interval."""
        a, b = interval(self.resampled("by skill") - self.resampled(self.rival))
        return self.areas["by skill"] - self.areas[self.rival], a, b

    def loss(self, predicted: Floats) -> Loss:
        """Points lost against learning from all labels: in area, and in quality with the dial at best."""
        found, whole = frontier(self.bench, predicted), self.routers["by skill"]
        return 100 * (self.areas["by skill"] - found.area(self.bench)), 100 * (whole.best_quality - found.best_quality)

    def losses(self, draw: Draw, share: float, draws: int = DRAWS, *, means_known: bool = False) -> list[Loss]:
        """What is lost with a share of the labels, for each of some draws of them.

        `means_known` gives the learner every model's mean over all labels beside.
        """
        found: list[Loss] = []
        for seed in range(draws):
            predicted = self.ours(self.bench, draw(self.bench.labels, share, seed))
            if means_known:
                predicted = predicted - predicted.mean(axis=0) + self.bench.labels.mean(axis=0)
            found.append(self.loss(predicted))
        return found

    def losses_of_needed(self, share: float, draws: int) -> list[Loss]:
        """The same where it is known beforehand which models matter: the others get no labels and no work."""
        labels, needed, found = self.bench.labels, self.needed, list[Loss]()
        count = max(1, amount(labels.size, share) // len(needed))
        for seed in range(draws):
            known = np.full(labels.shape, np.nan)
            rows = np.random.default_rng(seed).choice(len(labels), count, replace=False)
            known[np.ix_(rows, needed)] = labels[np.ix_(rows, needed)]
            predicted = np.full((len(self.bench.truth), labels.shape[1]), -np.inf)
            predicted[:, needed] = self.ours(self.bench, known)[:, needed]
            found.append(self.loss(predicted))
        return found

    def asked(self, share: float) -> list[Loss]:
        """The same with as many labels as the selector asked for itself."""
        labels = self.bench.labels
        count = min(len(labels), amount(labels.size, share))
        books = [self.ours.chosen_labels(self.bench, labels, count, seed) for seed in range(DRAWS)]
        return [self.loss(self.ours.predicted(self.bench, book)) for book in books]


def amount(count: int, share: float) -> int:
    """A share of a count, at least one."""
    return max(1, int(count * share))


def scattered(labels: Floats, share: float, seed: int) -> Floats:
    """A share of the labels, drawn at random."""
    known = np.full(labels.shape, np.nan)
    picked = np.random.default_rng(seed).choice(labels.size, amount(labels.size, share), replace=False)
    known.flat[picked] = labels.flat[picked]
    return known


def by_question(labels: Floats, share: float, seed: int) -> Floats:
    """The labels of all models on a share of the questions."""
    known = np.full(labels.shape, np.nan)
    asked = np.random.default_rng(seed).choice(len(labels), amount(len(labels), share), replace=False)
    known[asked] = labels[asked]
    return known


def report(bench: Bench) -> list[str]:
    """Everything measured on one bench, as Markdown."""
    measured = Measured(bench)
    lines = [
        f"## {bench.name}",
        "",
        f"{len(bench.questions)} distinct questions, {len(bench.truth)} of them for testing; {len(bench.models)} "
        f"models; {len(measured.ours.handbook.skills)} skills discovered. Cost: {bench.cost_from}.",
        "",
    ]
    lines += frontiers(measured) + prefixed(measured) + few_labels(measured) + curve(measured)
    return lines + over_splits([measured, *(Measured(bench.halved(split)) for split in range(1, SPLITS))])


def frontiers(measured: Measured) -> list[str]:
    """The routers' frontiers with their intervals, and whether ours holds against the best baseline."""
    routers, areas = measured.routers, measured.areas
    lines = [
        "| router | area under the frontier | 95 % interval | quality with the dial at best |",
        "|---|---|---|---|",
    ]
    for name, router in routers.items():
        a, b = interval(measured.resampled(name))
        lines.append(f"| {name} | {areas[name]:.4f} | {a:.4f} to {b:.4f} | {router.best_quality:.4f} |")
    gap, a, b = measured.gap
    verdict = "above" if a > 0 else "at least that of the best baseline, within the interval" if b >= 0 else "below"
    lines += [
        "",
        f"By skill against {measured.rival}, the best baseline: {gap:+.4f} ({a:+.4f} to {b:+.4f}), {verdict}.",
    ]
    single = routers["by skill"].best_quality - routers["best single"].best_quality
    a, b = interval(measured.weights @ (routers["by skill"].quality[0] - routers["best single"].quality[0]))
    beats = "beats" if a > 0 else "does not beat"
    return [*lines, "", f"At the best dial, by skill {beats} best single: {single:+.4f} ({a:+.4f} to {b:+.4f}).", ""]


PREFIX = "You are a careful assistant. Read the question below, think step by step and answer with one letter. " * 25


def prefixed(measured: Measured) -> list[str]:
    """What a fixed prefix before every question costs, over three halvings."""
    losses: list[float] = []
    for split in range(3):
        plain = measured if split == 0 else Measured(measured.bench.halved(split))
        bench = replace(plain.bench, questions=[f"{PREFIX}\n{question}" for question in plain.bench.questions])
        bench.__dict__["training"] = plain.bench.training  # the same halves
        losses.append(
            100 * (plain.areas["by skill"] - frontier(bench, BySkill(bench)(bench, bench.labels)).area(bench))
        )
    return [
        f"With a fixed prefix of {len(PREFIX):,} characters before every question the area is lower by "
        f"{mean(losses):.2f} points (over three halvings: {', '.join(f'{loss:.2f}' for loss in losses)}).",
        "",
    ]


def few_labels(measured: Measured) -> list[str]:
    """What is lost when only 1 % of the labels are known: drawn at random, or asked for by the selector itself."""
    size = measured.bench.labels.size
    ways = {
        "drawn at random": measured.losses(scattered, 0.01),
        "all models on 1 % of the questions": measured.losses(by_question, 0.01),
        "asked for by the selector": measured.asked(0.01),
    }
    lines = [
        f"Learned from 1 % of the (question, model) labels ({amount(size, 0.01)} of {size}), mean over {DRAWS} draws:",
        "",
        "| labels | loss in area, points | at most 1 | loss in quality at the best dial, points | at most 1 |",
        "|---|---|---|---|---|",
    ]
    for way, pairs in ways.items():
        cells = [f"{_spread([pair[n] for pair in pairs])} | {_kept([pair[n] for pair in pairs])}" for n in (0, 1)]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return [*lines, ""]


def curve(measured: Measured) -> list[str]:
    """The value of more labels, and of knowledge that is not available in practice."""
    bench = measured.bench
    shares = [f"{share} %" for share in SHARES]
    cells = [f"{mean(loss for loss, _ in measured.losses(by_question, share / 100, 10)):.2f}" for share in SHARES]
    told = mean(loss for loss, _ in measured.losses(by_question, 0.01, means_known=True))
    needed = mean(loss for loss, _ in measured.losses_of_needed(0.01, DRAWS))
    single = measured.loss(best_single(bench, bench.labels))[0]
    return [
        "Loss in area, in points: with labels of all models on a share of the questions; with 1 % of the labels and "
        f"only the models that matter ({len(measured.needed)} of {len(bench.models)}); with all models on 1 % of the "
        "questions and every model's mean over all training questions; with these means alone, without routing.",
        "",
        f"| {' | '.join(shares)} | 1 %, of models that matter | 1 % and all means | all means, no routing |",
        "|" + "---|" * (len(shares) + 3),
        f"| {' | '.join(cells)} | {needed:.2f} | {told:.2f} | {single:.2f} |",
        "",
    ]


def over_splits(halvings: Sequence[Measured]) -> list[str]:
    """The same on other halvings of the questions."""
    gaps = [m.gap[0] for m in halvings]
    held = sum(m.gap[2] >= 0 for m in halvings)
    lost = {
        "drawn at random": [mean(loss for loss, _ in m.losses(scattered, 0.01, 10)) for m in halvings],
        "all models on 1 % of the questions": [mean(x for x, _ in m.losses(by_question, 0.01, 10)) for m in halvings],
    }
    lines = [
        f"Over {len(halvings)} halvings of the questions, by skill lies {mean(gaps):+.4f} from the best baseline of "
        f"each (from {min(gaps):+.4f} to {max(gaps):+.4f}; at least level within the interval in {held}). With 1 % of "
        "the labels it loses in area, in points:",
        "",
        "| labels | mean over the halvings | at most 1 |",
        "|---|---|---|",
    ]
    return [*lines, *(f"| {way} | {_spread(found)} | {_kept(found)} |" for way, found in lost.items()), ""]


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.2f} (sd {stdev(values):.2f})"


def _kept(losses: Sequence[float]) -> str:
    return "yes" if mean(losses) <= 1 else "no"


HEAD = """# Selection, measured

    python benchmarks/selection.py DATA --write docs/benchmarks/selection.md

## Result

| | RouteLLM MMLU and GSM8K | LLMRouter-9 |
|---|---|---|
| area under the frontier | at least that of the best baseline | level in some halvings, below on average |
| loss with 1 % of the labels (aim: at most 1 point) | less than a point | three to four points |
| dial at best, against the best single model | better on MMLU, level on GSM8K | better |

The last row is of the first halving.

## Method

- The framework sees the questions and which model answered each one well. It does not see subject names. Skills are
  discovered in the training questions without a model, and competence is learned from the training labels. Training
  questions are one half, by a hash of the question, without duplicates.
- A router chooses by predicted quality - λ x cost. The area under its frontier is the mean quality over all budgets
  between the cheapest and the most expensive model.
- Intervals are from 1,000 bootstrap resamples of the test questions; two routers are compared by paired differences.
  The features of the baselines are weighted by inverse document frequency.
- The effects of price and of question length were chosen within the training half of the first halving, so no test
  question of that halving was used; of the other halvings, half of the test questions were. The defaults of the
  embedding (weights of words, pairs and letter groups) and of the demand (number of neighbours, sharpness) were
  chosen earlier on other halvings of all questions, so a small part of their gain may be chance. Within that training
  half, 20 to 80 skills, 8 or 16 neighbours and a sharpness of 0.03 to 0.06 changed results by a few tenths of a
  point, without a pattern.

## Why LLMRouter-9 needs more labels

1 % is 28 labels for each of nine models. The five competitive models are within ten points of each other and three of
the cheap ones within four, but the difference of two rates over 28 questions has a standard error of about nine
points. This uncertainty of the means costs more than the routing: if the mean of every model were known, the same
labels would lose about two points, and the means alone, without routing, lose as much. Another learner does not avoid
it: a Gaussian process over questions and models with the same priors, its variances chosen with hindsight, lost about
one and a half points on smaller halvings within the training half, where there was less to lose. A loss below one
point takes between a tenth and a third of the labels.
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
    lines += simulation() + selection_cost()
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
