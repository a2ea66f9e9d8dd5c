"""The same jobs by the chat model that `ORCHESTRATOR_MODEL` names. Without that variable there are no such agents."""

import os
from typing import Any

from orchestrator import Agent

MODEL = os.environ.get("ORCHESTRATOR_MODEL")
JOBS: tuple[tuple[str, list[str], dict[str, Any], dict[str, float], str], ...] = (
    (
        "model_keywords",
        ["text"],
        {"keywords": list[str]},
        {"extract.keywords": 0.9},
        "Name at most eight phrases that say what the text is about, the most telling first, as they stand in it.",
    ),
    (
        "model_entities",
        ["text"],
        {"entities": list[dict[str, str]]},
        {"extract.entities": 0.9},
        'Name every person, organisation, place, date, amount and address in the text: {"kind": ..., "text": ...}.',
    ),
    (
        "model_language",
        ["text"],
        {"language": str},
        {"detect.language": 0.97},
        "Answer with the ISO 639-1 code of the language that the text is in, and nothing else.",
    ),
    (
        "model_tables",
        ["text"],
        {"tables": list[list[list[str]]]},
        {"extract.tables": 0.85},
        "Give every table in the text as a list of rows, each a list of cells, word for word.",
    ),
    (
        "model_classifier",
        ["text", "label_examples"],
        {"label": str},
        {"classify": 0.9, "classify.few": 0.9},
        "Answer with the one label of label_examples that the text deserves, and nothing else.",
    ),
    (
        "model_grouper",
        ["items"],
        {"groups": list[list[int]]},
        {"group": 0.85, "group.noisy": 0.85},
        "Put items together that say the same. Give groups of their places, counted from 0; each place once.",
    ),
    (
        "model_report",
        ["report_title", "findings"],
        {"report": str},
        {"write.report": 0.9},
        "Write a report in Markdown: the title, a summary of two sentences, a section for each finding. Add nothing.",
    ),
)
"""Name, needs, gives, skills, instructions."""

if MODEL:
    workers = [
        Agent(MODEL, name=name, instructions=said, needs=needs, gives=gives, skills=skills, cost=0.002, latency=3)
        for name, needs, gives, skills, said in JOBS
    ]
    globals().update({worker.name: worker for worker in workers})  # an agent is what stands at the top of a file
