"""The options of a selector: how it prices, explores, and takes in newcomers."""

from dataclasses import dataclass, field
from typing import TypedDict

from orchestrator.policy import Policy
from orchestrator.pricing import Pricing

from .constraints import Constraints
from .embedding import Embedding
from .pool import BaseFacts
from .turn import Exploration, Onboarding


class SelectorOptions(TypedDict, total=False):
    """How a selector prices, explores, and takes in newcomers; every one may be left out."""

    policy: Policy
    pricing: Pricing | None
    """A formula in place of the policy's."""
    constraints: Constraints
    """Limits on every choice; those of a single choice come on top."""
    exploration: Exploration | None
    """Default: none, always the best estimate."""
    onboarding: Onboarding
    embedding: Embedding | None
    """For demands that are inferred from texts; default: `HashedEmbedding()`."""
    base: BaseFacts | None
    """Facts about an agent apart from its competence (its health, say); default: what it declares and has cost."""


@dataclass(frozen=True)
class Settings:
    """The options, all of them."""

    policy: Policy = field(default_factory=Policy)
    pricing: Pricing | None = None
    constraints: Constraints = field(default_factory=Constraints)
    exploration: Exploration | None = None
    onboarding: Onboarding = field(default_factory=Onboarding)
    embedding: Embedding | None = None
    base: BaseFacts | None = None
