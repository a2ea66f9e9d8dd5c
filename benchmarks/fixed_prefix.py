"""What a fixed prefix before every question costs selection: `python benchmarks/fixed_prefix.py [DATA]`.

The area under the cost-quality frontier by skill, with and without the prefix, on the same halves of the questions.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._outcomes import Bench, frontier, nine_models, routellm
from benchmarks._routers import BySkill

WORDS = """
    you are a helpful system that must answer every question with the context given and explain each step of the
    reason before it names a number an option or a result about science history law mathematics code and language
    """.split()  # noqa: SIM905


def prefixed(bench: Bench, characters: int) -> Bench:
    """The same questions, each after the same prefix, in the same halves."""
    prefix = " ".join(Random(0).choices(WORDS, k=characters))[:characters]
    other = replace(bench, questions=[f"{prefix}\n\n{question}" for question in bench.questions])
    other.__dict__["training"] = bench.training
    return other


def area(bench: Bench) -> float:
    """The area under the frontier by skill, learned from all training labels."""
    ours = BySkill(bench)
    return frontier(bench, ours(bench, bench.labels)).area(bench)


def main() -> None:
    """One line for each set of recorded outcomes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--characters", type=int, default=2500)
    arguments = parser.parse_args()
    for bench in (routellm(arguments.data, "gsm8k"), nine_models(arguments.data)):
        plain, told = area(bench), area(prefixed(bench, arguments.characters))
        print(f"{bench.name}: {plain:.4f} without, {told:.4f} with: {100 * (plain - told):.2f} points", flush=True)


if __name__ == "__main__":
    main()
