"""A summary by the chat model that `ORCHESTRATOR_MODEL` names (`openai:...`, `anthropic:...`, `ollama:...`).

Without that variable there is no such agent.
"""

import os

from orchestrator import Agent

MODEL = os.environ.get("ORCHESTRATOR_MODEL")

if MODEL:
    model_summariser = Agent(
        MODEL,
        name="model_summariser",
        instructions="Summarise the text in three sentences for a busy reader. Use only what the text says.",
        needs=["text"],
        gives={"summary": str},
        skills={"summarise": 0.95, "summarise.long": 0.95},
        cost=0.002,
        latency=3,
    )
