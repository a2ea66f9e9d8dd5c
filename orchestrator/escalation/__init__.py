"""Escalation: what happens when no route is left. A ladder of rungs, a closed set of answers, rights, and a record."""

from .admissibility import ANSWER, MODEL_RIGHTS, PERSON_RIGHTS, Validate, admit, rights_of
from .announcer import Announcer
from .console import ask_on_terminal
from .demote import Demote
from .human import AskHuman
from .ladder import Asked, Climb, Consulting, Means, Refusal, Reply, Rung, check_ladder, climb, rung_name
from .model import AskModel
from .notify import Notify, Terminal, Webhook, announce
from .options import Hole, Option, options_for
from .pool import Router
from .question import Question, accepted, answer, unanswered
from .registry import RUNGS, ladder_from
from .resolution import Resolution, ResolutionKind

__all__ = [
    "ANSWER",
    "MODEL_RIGHTS",
    "PERSON_RIGHTS",
    "RUNGS",
    "Announcer",
    "AskHuman",
    "AskModel",
    "Asked",
    "Climb",
    "Consulting",
    "Demote",
    "Hole",
    "Means",
    "Notify",
    "Option",
    "Question",
    "Refusal",
    "Reply",
    "Resolution",
    "ResolutionKind",
    "Router",
    "Rung",
    "Terminal",
    "Validate",
    "Webhook",
    "accepted",
    "admit",
    "announce",
    "answer",
    "ask_on_terminal",
    "check_ladder",
    "climb",
    "ladder_from",
    "options_for",
    "rights_of",
    "rung_name",
    "unanswered",
]
