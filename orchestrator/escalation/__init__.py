"""Escalation: the ladder of rungs that answers an impasse, the closed set of answers, and the rights of each rung."""

from orchestrator.agents.models.accounting import ModelUsage
from orchestrator.agents.models.pool import Router
from orchestrator.escalation.rungs.ask_human import AskHuman
from orchestrator.escalation.rungs.ask_model import AskModel
from orchestrator.escalation.rungs.demote import Demote

from .admissibility import ANSWER, MODEL_RIGHTS, PERSON_RIGHTS, Validate, admit, rights_of
from .ladder import Climb, Consulting, RefusedAnswer, Rung, RungContext, RungReply, check_ladder, climb, rung_name
from .notify import NotificationSink, Notify, Terminal, Webhook, announce, ask_on_terminal
from .options import Hole, Option, options_for
from .question import Question, accepted, interpret_answer, is_refusal, resolution_at_deadline
from .registry import RUNGS, ladder_from
from .resolution import Resolution, ResolutionKind

__all__ = [
    "ANSWER",
    "MODEL_RIGHTS",
    "PERSON_RIGHTS",
    "RUNGS",
    "AskHuman",
    "AskModel",
    "Climb",
    "Consulting",
    "Demote",
    "Hole",
    "ModelUsage",
    "NotificationSink",
    "Notify",
    "Option",
    "Question",
    "RefusedAnswer",
    "Resolution",
    "ResolutionKind",
    "Router",
    "Rung",
    "RungContext",
    "RungReply",
    "Terminal",
    "Validate",
    "Webhook",
    "accepted",
    "admit",
    "announce",
    "ask_on_terminal",
    "check_ladder",
    "climb",
    "interpret_answer",
    "is_refusal",
    "ladder_from",
    "options_for",
    "resolution_at_deadline",
    "rights_of",
    "rung_name",
]
