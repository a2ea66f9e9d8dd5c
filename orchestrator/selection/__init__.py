"""Choosing agents by skill: demand, competence, the handbook, the selector, and how they learn."""

from .competence import Estimate, competence
from .constraints import Constraints, dialled
from .demand import NEUTRAL, Demand
from .evidence import Evidence, Profile, Stats
from .handbook import Handbook, Insight, Skill
from .learning import Observation
from .result import Scored, Selection
from .revision import Change, Revision
from .selector import Selector, SelectorOptions
from .turn import Exploration, Onboarding, Turn

__all__ = [
    "NEUTRAL",
    "Change",
    "Constraints",
    "Demand",
    "Estimate",
    "Evidence",
    "Exploration",
    "Handbook",
    "Insight",
    "Observation",
    "Onboarding",
    "Profile",
    "Revision",
    "Scored",
    "Selection",
    "Selector",
    "SelectorOptions",
    "Skill",
    "Stats",
    "Turn",
    "competence",
    "dialled",
]
