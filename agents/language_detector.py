"""Which language a text is in: by its script if that is enough, else by its stop words."""

from orchestrator import Agent, Refused
from orchestrator.integrations.documents import detect_language


def language(text: str) -> str:
    """ISO 639-1. Raises `Refused` for a text that is too short or too strange to tell."""
    found = detect_language(text)
    if found is None:
        raise Refused("the text is too short to tell its language")
    return found


language_detector = Agent(
    language,
    name="language_detector",
    gives="language",
    skills={"detect.language": 0.8},
    latency=0.01,
    description="Tell which language a text is in (ISO 639-1).",
)
