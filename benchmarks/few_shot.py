"""Selection under few-shot prompts, as RouterBench has them: `python benchmarks/few_shot.py [DATA]`.

Before each question come five solved examples: of RouteLLM's MMLU the same five for each subject, of its GSM8K the same
five for all, of LLMRouter-9 the same five for each of its clusters; or five drawn anew for each question.
Area under the cost-quality frontier by skill and by ridge regression, on the same halves of the questions.
"""

import argparse
import gzip
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._outcomes import Bench, frontier, nine_models, routellm
from benchmarks._routers import BySkill, Features, ridge

SHOTS = 5
RESAMPLES = 1000


def groups(data: Path) -> dict[str, str]:
    """Question -> its subject or cluster."""
    with gzip.open(data / "routellm" / "mmlu_gsm8k_mixtral_vs_gpt4.jsonl.gz", "rt", encoding="utf-8") as file:
        found = {row["prompt"]: str(row["subset"]) for row in map(json.loads, file)}
    with gzip.open(data / "llmrouter_9models" / "train.json.gz", "rt", encoding="utf-8") as file:
        return found | {row["question"]: str(row["cluster_id"]) for row in json.load(file)}


def few_shot(bench: Bench, group: Sequence[str] | None) -> Bench:
    """The same questions, each after five training questions with an answer; without groups, drawn for each."""
    pools: dict[str, list[str]] = {}
    labels = group or [""] * len(bench.questions)
    for question, label, training in zip(bench.questions, labels, bench.training.tolist(), strict=True):
        if training:
            pools.setdefault(label, []).append(question)
    prompts: list[str] = []
    for i, (question, label) in enumerate(zip(bench.questions, labels, strict=True)):
        random = Random(label if group else i)
        pool = pools.get(label) or bench.questions
        shots = [f"{shot}\n{random.choice('ABCD')}" for shot in random.sample(pool, min(SHOTS, len(pool)))]
        prompts.append("\n\n".join([*shots, question]))
    other = replace(bench, questions=prompts)
    other.__dict__["training"] = bench.training
    return other


def compared(bench: Bench) -> str:
    """The areas by skill and by ridge, and their paired difference with its 95 % interval."""
    ours, theirs = BySkill(bench), ridge(Features(bench))
    found = [frontier(bench, router(bench, bench.labels)) for router in (ours, theirs)]
    tests = len(bench.truth)
    weights = np.random.default_rng(0).multinomial(tests, np.full(tests, 1 / tests), size=RESAMPLES) / tests
    low, high = float(bench.cost.min()), float(bench.cost.max())
    gaps = found[0].areas(weights, low, high) - found[1].areas(weights, low, high)
    left, right = np.percentile(gaps, [2.5, 97.5])
    areas = [each.area(bench) for each in found]
    return f"by skill {areas[0]:.4f}, ridge {areas[1]:.4f}: {areas[0] - areas[1]:+.4f} ({left:+.4f} to {right:+.4f})"


def main() -> None:
    """Three lines for each set of recorded outcomes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    data = parser.parse_args().data
    subjects = groups(data)
    for bench in (routellm(data, "gsm8k"), nine_models(data), routellm(data, "mmlu")):
        of = [subjects[question] for question in bench.questions]
        print(f"{bench.name}, bare questions: {compared(bench)}", flush=True)
        print(f"{bench.name}, five shots of its subject: {compared(few_shot(bench, of))}", flush=True)
        print(f"{bench.name}, five shots drawn anew: {compared(few_shot(bench, None))}", flush=True)


if __name__ == "__main__":
    main()
