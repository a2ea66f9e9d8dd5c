"""Choosing agents by skill: demand, competence, the handbook, the selector, and how they learn."""

from .consensus import Consensus, Verdict
from .constraints import Constraints, dialled
from .cusum import DriftSignal
from .demand import NEUTRAL, Demand
from .embedding import Embedding, HashedEmbedding
from .estimation import Estimate, competence
from .evidence import Evidence, Profile, Stats
from .handbook import Handbook
from .inference import SkillIndex
from .judgement import Judgement
from .judging import Judged
from .learning import Observation
from .panel import Panel
from .result import Scored, Selection
from .revision import Change, Revision
from .selector import Selector
from .settings import SelectorOptions
from .sigma import Agreement, Mode, agreement
from .skill import Insight, Skill
from .structure import discover, learned_from, merge_alike, restructure, split
from .turn import Exploration, Onboarding, Turn
from .with_model import DemandModel, ModelJudge

__all__ = [
    "NEUTRAL",
    "Agreement",
    "Change",
    "Consensus",
    "Constraints",
    "Demand",
    "DemandModel",
    "DriftSignal",
    "Embedding",
    "Estimate",
    "Evidence",
    "Exploration",
    "Handbook",
    "HashedEmbedding",
    "Insight",
    "Judged",
    "Judgement",
    "Mode",
    "ModelJudge",
    "Observation",
    "Onboarding",
    "Panel",
    "Profile",
    "Revision",
    "Scored",
    "Selection",
    "Selector",
    "SelectorOptions",
    "Skill",
    "SkillIndex",
    "Stats",
    "Turn",
    "Verdict",
    "agreement",
    "competence",
    "dialled",
    "discover",
    "learned_from",
    "merge_alike",
    "restructure",
    "split",
]
