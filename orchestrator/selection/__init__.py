"""Selects agents by skill: demands, competence, the handbook, the selector, and learning from outcomes."""

from orchestrator.selection.choice.constraints import Constraints, dialled
from orchestrator.selection.choice.demand import NEUTRAL, Demand
from orchestrator.selection.choice.demand_inference import SkillIndex
from orchestrator.selection.choice.embedding import Embedding, HashedEmbedding
from orchestrator.selection.choice.exploration import Exploration, ExplorationRound, Onboarding
from orchestrator.selection.choice.result import ScoredAgent, Selection
from orchestrator.selection.choice.scoring import Judged
from orchestrator.selection.choice.selector import Selector, SelectorOptions
from orchestrator.selection.competence.estimation import Estimate, competence
from orchestrator.selection.ensembles.consensus import Consensus, ConsensusVerdict
from orchestrator.selection.ensembles.disagreement import Agreement, EnsembleMode, agreement
from orchestrator.selection.ensembles.panel import Panel
from orchestrator.selection.learning.cusum import DriftSignal
from orchestrator.selection.learning.evaluation import Judgement
from orchestrator.selection.learning.llm_judge import DemandModel, ModelJudge
from orchestrator.selection.learning.skill_discovery import discover, learned_from, merge_alike, restructure, split
from orchestrator.selection.learning.updates import Observation
from orchestrator.selection.skills.evidence import Evidence, Profile, Stats
from orchestrator.selection.skills.handbook import Handbook, Insight, Skill
from orchestrator.selection.skills.revision import Change, Revision

__all__ = [
    "NEUTRAL",
    "Agreement",
    "Change",
    "Consensus",
    "ConsensusVerdict",
    "Constraints",
    "Demand",
    "DemandModel",
    "DriftSignal",
    "Embedding",
    "EnsembleMode",
    "Estimate",
    "Evidence",
    "Exploration",
    "ExplorationRound",
    "Handbook",
    "HashedEmbedding",
    "Insight",
    "Judged",
    "Judgement",
    "ModelJudge",
    "Observation",
    "Onboarding",
    "Panel",
    "Profile",
    "Revision",
    "ScoredAgent",
    "Selection",
    "Selector",
    "SelectorOptions",
    "Skill",
    "SkillIndex",
    "Stats",
    "agreement",
    "competence",
    "dialled",
    "discover",
    "learned_from",
    "merge_alike",
    "restructure",
    "split",
]
