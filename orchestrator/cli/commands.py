"""The commands of the program by name. The module of a command is loaded when the command is called, not before."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "run": ("run", "Reach GOAL from the given inputs by the cheapest route, heal failures, and show what happened."),
    "plan": ("planning.plan", "Show the route that a run would begin with, and its alternatives. Nothing is run."),
    "graph": (
        "planning.plan",
        "Draw the tool graph, with prices on the edges; with a goal, its route is highlighted.",
    ),
    "analyse": (
        "planning.analyse",
        "Show which tools GOAL depends on: single points of failure, smallest sets of tools whose loss stops it, "
        "expected price and chance of success under today's health, and what an alternative would be worth.",
    ),
    "rehearse": (
        "planning.rehearse",
        "Run GOAL under every single fault and every pair of faults, on stand-ins for its tools, and print the matrix.",
    ),
    "tools": ("catalog", "List the tools: what each needs and gives, its price now, its health."),
    "agents": (
        "catalog",
        "List the agents: skills with declared competence, price now, health, where the work is done.",
    ),
    "health": (
        "health",
        "Show the health of tools: circuits, probability of success, latency. Trip or restore one by hand.",
    ),
    "runs": ("runs.listing", "List the runs of a store, the newest first."),
    "why": (
        "runs.listing",
        "Describe a run in plain words: its route, failures and their answers, who was asked, what it cost.",
    ),
    "verify": ("runs.verify", "Check that a record is complete and unchanged, and name the records that are not."),
    "replay": ("runs.replay", "Compute every decision of a run again from its record. No tool and no model is called."),
    "report": (
        "runs.report",
        "Write a report for auditors: history, decisions, approvals, verification and anchored head, in one HTML file.",
    ),
    "resume": ("runs.resume", "Continue a run: answer a waiting one, or take over one that was interrupted."),
    "feedback": (
        "skills.feedback",
        "Rate the work that gave a key of a run; the choice of agents learns from it.",
    ),
    "judgements": ("skills.feedback", "Show the judgements of a run's agents by judges and people."),
    "ui": (
        "serve",
        "Look at runs in a browser: decisions with prices, the graph at each moment, health, and questions to answer.",
    ),
    "mcp": ("serve", "Serve goals as MCP tools: on standard input and output, or by HTTP."),
    "gateway": (
        "serve",
        "Serve the tools of MCP servers under their own names, with time-outs, reconnects, circuits and alternatives.",
    ),
    "doctor": (
        "doctor",
        "Show what is installed, which keys are set, and which tools and agents would fail and why. Calls no tool.",
    ),
    "init": (
        "templates",
        "Make a project folder with tools, an agent, a policy and a README. Nothing is ever overwritten.",
    ),
    "submit": (
        "fleet.queue",
        "Put a run into the queue of the store and print its id; `orchestrator worker` executes it.",
    ),
    "worker": (
        "fleet.queue",
        "Execute the runs of the queue, many at once, until SIGTERM or Ctrl-C: then finish or return runs in progress.",
    ),
    "recover": (
        "fleet.queue",
        "Take over the runs that dead processes left, all of them or RUN, and execute them to an end or a question.",
    ),
    "cancel": (
        "runs.resume",
        "Stop a run, whichever process executes it, and show how it ended: effects are undone or listed.",
    ),
    "serve": (
        "fleet.http",
        "Serve submit, status, events, answer, cancel and health over HTTP; the document is at /openapi.json.",
    ),
    "skills": ("skills.show", "The handbook: skills, and the competence of agents in them."),
    "store": ("fleet.store", "Maintain a store: migrate tables, check, prune, erase, copy."),
}
"""Command -> its module under `orchestrator.cli`, and the line that `--help` says of it: that of its docstring."""


class LazyGroup(TyperGroup):
    """The program as `--help` and completion see it: names and lines of help, and a command when it is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (_, line) in COMMANDS.items():
            self.commands.setdefault(name, TyperCommand(name, help=line))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of these words, with its options."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


def load(name: str) -> Any:
    """A command with its options."""
    made = typer.Typer()
    import_module(f"orchestrator.cli.{COMMANDS[name][0]}").register(made)
    return typer.main.get_group(made).commands[name]


__all__ = ["COMMANDS", "LazyGroup", "load"]
