"""The three graphs of the Self-Healing Router (arXiv 2603.01548), written with `connect` alone."""

from orchestrator.core.enums import START
from orchestrator.graph.tool import Tool

from .worlds import World

Edges = tuple[tuple[str, str, float], ...]

SUPPORT: Edges = (
    (START, "CRM", 0.1),
    ("CRM", "Stripe", 0.3),
    ("CRM", "Razorpay", 0.5),
    ("Stripe", "Email", 0.3),
    ("Stripe", "SMS", 0.4),
    ("Razorpay", "Email", 0.3),
    ("Razorpay", "SMS", 0.4),
    ("Email", "Complete", 0.1),
    ("SMS", "Complete", 0.1),
)
TRAVEL: Edges = (
    (START, "Flight", 0.3),
    (START, "Train", 0.5),
    ("Flight", "Hotel", 0.3),
    ("Flight", "Hostel", 0.4),
    ("Train", "Hotel", 0.3),
    ("Train", "Hostel", 0.4),
    ("Hotel", "Car", 0.3),
    ("Hotel", "Bus", 0.4),
    ("Hostel", "Car", 0.4),
    ("Hostel", "Bus", 0.3),
    ("Car", "Payment", 0.2),
    ("Bus", "Payment", 0.2),
    ("Payment", "Confirm", 0.1),
)
MODERATION: Edges = (
    (START, "Text", 0.2),
    (START, "Image", 0.3),
    (START, "Video", 0.5),
    ("Text", "Toxicity", 0.2),
    ("Image", "Toxicity", 0.3),
    ("Video", "Toxicity", 0.4),
    ("Toxicity", "HumanReview", 0.5),
    ("Toxicity", "AutoApprove", 0.2),
    ("HumanReview", "Complete", 0.1),
    ("AutoApprove", "Complete", 0.1),
)
GRAPHS: dict[str, tuple[Edges, str]] = {
    "support": (SUPPORT, "Complete"),
    "travel": (TRAVEL, "Confirm"),
    "moderation": (MODERATION, "Complete"),
}


def written(edges: Edges, *, backwards: bool = False) -> World:
    """A world with these edges; the order of writing must not matter."""
    world = World()
    names = dict.fromkeys(name for a, b, _ in edges for name in (a, b) if name != START)
    for name in sorted(names, reverse=backwards):
        world.graph.add(Tool(lambda: None, name=name, needs=[]))
    for a, b, cost in sorted(edges, reverse=backwards):
        world.graph.connect(a, b, cost=cost)
    return world
