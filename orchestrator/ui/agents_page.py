"""The pages of health and of agents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse

from orchestrator.agents.agent import Agent
from orchestrator.graph.spec import ToolSpec
from orchestrator.selection import Estimate, Handbook
from orchestrator.selection.competence.estimation import beta_variance, neutral_prior, prior_of
from orchestrator.selection.competence.priors import relative_prices

from .backend import Backend
from .render_pages import render
from .security import Keys


@dataclass(frozen=True, slots=True)
class SkillShown:
    """The expected competence of an agent in one skill."""

    skill: str
    declared: float | None
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class AgentShown:
    """An agent as the page shows it."""

    name: str
    description: str
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    cost: float | None
    price: float | None
    """The current price; `None` while the agent is down, and if its program is not loaded."""
    down: bool
    place: str
    overall: Estimate
    skills: tuple[SkillShown, ...]


def health_page(backend: Backend, keys: Keys, *, error: str = "", status: int = 200) -> HTMLResponse:
    """Circuits, probability of success, latency."""
    tools, transitions = backend.statuses()
    return render(
        "health.html",
        status,
        tools=tools,
        transitions=transitions,
        csrf=keys.form,
        error=error,
        here="health",
        live=True,
    )


def agents_page(backend: Backend, keys: Keys, **more: Any) -> HTMLResponse:
    """Skills, competence with uncertainty, cost."""
    book = backend.handbook()
    agents = backend.agents()
    relative = relative_prices(agent for agent, _ in agents.values())
    fields = {"error": "", "notice": "", **more}
    status = int(fields.pop("status", 200))
    return render(
        "agents.html",
        status,
        agents=[_shown(name, agents.get(name), book, relative) for name in sorted({*agents, *book.profiles})],
        version=book.version,
        csrf=keys.form,
        here="agents",
        live=False,
        **fields,
    )


def _shown(
    name: str, known: tuple[Agent | ToolSpec, float | None] | None, book: Handbook, relative: Mapping[str, float]
) -> AgentShown:
    agent, price = known or (None, None)
    declared = dict(agent.skills) if agent is not None else {}
    skills = sorted({*declared, *book.profile(name).skills})
    live = agent if isinstance(agent, Agent) else None
    return AgentShown(
        name=name,
        description=live.description if live is not None else "",
        needs=_needs(agent),
        gives=tuple(agent.gives) if agent is not None else (),
        cost=agent.planned_cost() if agent is not None else None,
        price=price,
        down=live is not None and price is None,
        place="" if live is None else live.trust + (", data leaves" if live.data_leaves else ""),
        overall=_estimate(neutral_prior(declared), book.record(name).successes, book.record(name).failures),
        skills=tuple(_skill(name, skill, declared, book, relative.get(name, 0.0)) for skill in skills),
    )


def _needs(agent: Agent | ToolSpec | None) -> tuple[str, ...]:
    if agent is None:
        return ()
    return tuple(agent.needs.values()) if isinstance(agent, Agent) else agent.needs


def _skill(name: str, skill: str, declared: Mapping[str, float], book: Handbook, relative_price: float) -> SkillShown:
    seen = book.evidence(name, skill)
    prior = prior_of(name, skill, declared, book, relative_price)
    return SkillShown(skill, declared.get(skill), _estimate(prior, seen.successes, seen.failures))


def _estimate(prior: tuple[float, float], successes: float, failures: float) -> Estimate:
    a, b = prior[0] + successes, prior[1] + failures
    return Estimate.of(a / (a + b), beta_variance(a, b), successes + failures)
