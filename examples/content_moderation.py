"""A post is looked at before it is shown: `python examples/content_moderation.py`.

    START ─┬─ .2 text ──┬─ .2 ─┐                ┌─ .2 auto_approve ─┐
           ├─ .3 image ─┼─ .3 ─┼─ toxicity ─────┤                   ├─ .1 complete
           └─ .5 video ─┴─ .4 ─┘                └─ .5 human_review ─┘

Three readers say what a post holds; any of them will do, and one that is down is replaced by the next. A post that is
beyond doubt is approved by itself; for the others a person is asked, and the run waits for the answer, as it does when
the automatic approval is down. The graph is the one of arXiv 2603.01548.
"""

import asyncio
from contextlib import ExitStack
from typing import Any

from pydantic import BaseModel

from orchestrator import START, Orchestrator, Outcome, RunContext, tool
from orchestrator.core.checks import has_words
from orchestrator.testing import fail

RUDE = frozenset({"idiot", "idiots", "stupid", "hate", "scum"})
DOUBT = 0.1
"""Share of rude words from which on a person is asked."""


class Post(BaseModel):
    """What somebody wants to show."""

    text: str
    caption: str = ""
    """What is to be read in the picture."""
    speech: str = ""
    """What is said in the film."""


@tool(gives="content", ensure=has_words)
def text(post: Post) -> str:
    """What was written."""
    return post.text


@tool(gives="content", ensure=has_words)
def image(post: Post) -> str:
    """What is to be read in the picture."""
    return post.caption


@tool(gives="content", ensure=has_words)
def video(post: Post) -> str:
    """What is said in the film."""
    return post.speech


@tool(gives="rude")
def toxicity(content: str) -> float:
    """The share of rude words."""
    words = [word.strip(".,!?").lower() for word in content.split()]
    return sum(word in RUDE for word in words) / len(words)


def is_beyond_doubt(rude: float) -> bool:
    """Whether no person needs to be asked."""
    return rude < DOUBT


@tool(gives="verdict", when=is_beyond_doubt)
def auto_approve(rude: float) -> str:
    """Approve what is beyond doubt."""
    return "approved"


@tool(gives="verdict")
async def human_review(content: str, rude: float, ctx: RunContext) -> str:
    """Ask a person."""
    return "approved" if await ctx.wait("May this post be shown?", type=bool) else "rejected"


@tool(gives="decision")
def complete(post: Post, verdict: str) -> str:
    """Tell who posted it."""
    return f"{verdict}: {post.text[:40]}"


TOOLS = (text, image, video, toxicity, auto_approve, human_review, complete)
EDGES = (
    (START, text, 0.2),
    (START, image, 0.3),
    (START, video, 0.5),
    (text, toxicity, 0.2),
    (image, toxicity, 0.3),
    (video, toxicity, 0.4),
    (toxicity, human_review, 0.5),
    (toxicity, auto_approve, 0.2),
    (human_review, complete, 0.1),
    (auto_approve, complete, 0.1),
)
POLITE = Post(text="A seal on the slipway this morning", caption="SEAL", speech="look at the seal")
RUDE_POST = Post(text="You stupid, stupid idiots", caption="IDIOTS", speech="idiots all of you")


def build() -> Orchestrator:
    """The graph."""
    orc = Orchestrator(TOOLS)
    for source, target, cost in EDGES:
        orc.connect(source, target, cost=cost)
    return orc


async def moderate(post: Post, *down: str, says: bool = True) -> Outcome[Any]:
    """Moderate a post while these tools are down; `says` is what the person answers who is asked."""
    async with build() as orc:
        with ExitStack() as faults:
            for name in down:
                faults.enter_context(orc.override(fail(orc.graph[name])))
            outcome = await orc.run("decision", {"post": post})
            while outcome.questions:
                print(f"  asked: {outcome.questions[0].text} {'yes' if says else 'no'}")
                outcome = await orc.resume(outcome.run_id, says, by="ann")
            return outcome


async def main() -> None:
    """All is well; readers and the automatic approval are down; a post that is rude; nobody can judge."""
    for post, down in (
        (POLITE, ()),
        (POLITE, ("text",)),
        (POLITE, ("text", "auto_approve")),
        (RUDE_POST, ()),
        (POLITE, ("toxicity",)),
    ):
        print(f"\n{post.text!r}, down: {', '.join(down) or 'nothing'}")
        outcome = await moderate(post, *down, says=post is POLITE)
        print("  " + " → ".join(f"{call.tool} {'✗' if call.error else '✓'}" for call in outcome.calls))
        print(f"  {outcome.status}: {outcome.value if outcome.ok else 'undecided'}; model calls: {outcome.llm_calls}")


if __name__ == "__main__":
    asyncio.run(main())
