"""`Demote`: the rung that takes the best lesser goal within reach."""

from typing import Final

from orchestrator.core.route import Impasse
from orchestrator.escalation.admissibility import MODEL_RIGHTS, open_kinds
from orchestrator.escalation.resolution import Resolution, ResolutionKind


class Demote:
    """Takes the first declared lesser goal within reach; passes when there is none, or when a person must look."""

    name: Final = "demote"
    rights: Final = frozenset({ResolutionKind.DEMOTE})

    async def __call__(self, impasse: Impasse) -> Resolution | None:
        """The first lesser goal with a price."""
        if ResolutionKind.DEMOTE not in open_kinds(impasse, MODEL_RIGHTS):
            return None
        for offer in impasse.offers:
            if offer.price is not None:
                return Resolution.demote(offer.goal, f"{' + '.join(offer.goal)} is the best goal within reach")
        return None
