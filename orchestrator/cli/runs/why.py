"""Shows the story of a run on a terminal."""

from rich.text import Text

from orchestrator.cli.invocation import command
from orchestrator.cli.planning.plan import facts_text
from orchestrator.cli.result import MARKS
from orchestrator.cli.screen import hanging, say
from orchestrator.core.enums import HEALING, Status
from orchestrator.core.text import counted, duration, listed, plain, usd
from orchestrator.observability.explain.story import EntryKind, Story, StoryEntry

_MARKS = {
    EntryKind.DECISION: ("→", "bold"),
    EntryKind.CALL: ("✓", "green"),
    EntryKind.FAILURE: ("✗", "red"),
    EntryKind.ESCALATION: ("!", "bold yellow"),
    EntryKind.PERSON: ("?", "cyan"),
    EntryKind.UNDOING: ("↩", "yellow"),
    EntryKind.SIGNAL: ("~", "yellow"),
    EntryKind.CHANGE: ("·", ""),
    EntryKind.PROBLEM: ("!", "yellow"),
}


def show_story(story: Story, *, full: bool = False, lost: bool = False) -> None:
    """A story, for people: what was wanted, the route, what happened, what it cost. `lost`: its process is gone."""
    _show_head(story, lost)
    if story.route is not None:
        say()
        _show_route(story)
    if story.entries:
        say()
        say(Text("What happened", "bold"))
        width = max(len(duration(entry.at)) for entry in story.entries)
        tracebacks = {failure.id: failure.traceback for failure in story.failures}
        for entry in story.entries:
            say(_entry_line(entry, width))
            if full:
                _show_candidates(entry, width)
                _show_traceback(tracebacks.get(entry.failure or ""), width)
    _show_escalations(story)
    say()
    _show_end(story)


def _field(name: str, text: str | Text) -> None:
    value = text if isinstance(text, Text) else Text(plain(text, 500))
    say(Text.assemble((f"{name:<11}", "dim"), hanging(value, 11)))


def _show_head(story: Story, lost: bool) -> None:
    mark, style = MARKS[story.status]
    wanted = " + ".join(story.wanted)
    lesser = [" + ".join(keys) for keys in story.lesser]
    status_text = {
        Status.REACHED: "reached",
        Status.DEMOTED: f"demoted: {' + '.join(story.goal)} was reached instead",
        Status.ESCALATED: "not reached",
        Status.WAITING: "waits for a person",
        Status.RUNNING: f"has not ended, and its process is gone: `{command('recover')}` picks it up"
        if lost
        else "is going on",
        Status.QUEUED: "is queued for a worker",
    }[story.status]
    say(Text.assemble((f"{mark} ", style), (plain(wanted), "bold"), f"  {plain(status_text)}"))
    _field("run", story.run_id + (f", reached for by {story.parent}" if story.parent else ""))
    _field("wanted", wanted + (f", or at least {listed(lesser, 'or')}" if lesser else ""))
    _field("from", listed(story.inputs) or "nothing")
    _field("policy", "; ".join((story.policy, *story.asked)))
    if story.children:
        _field("children", f"{len(story.children)}: {', '.join(story.children[:5])}")


def _show_route(story: Story) -> None:
    route = story.route
    assert route is not None
    path = " → ".join(route.tools) or "nothing more to do"
    _field("route", Text.assemble((plain(path), "bold"), f"  {usd(route.price)}"))
    if route.runner_up is not None:
        runner_up = " → ".join(route.runner_up.tools)
        _field(
            "next best",
            f"{runner_up}  {usd(route.runner_up.price)} "
            f"(+{usd(route.runner_up.more)}, without {route.runner_up.without})",
        )
    else:
        _field("next best", "no other route was open")


def _entry_line(entry: StoryEntry, width: int) -> Text:
    mark, style = _MARKS[entry.kind]
    if entry.decided in HEALING:
        mark, style = "↻", "bold yellow"
    elif entry.kind is EntryKind.CALL and " gave " not in entry.text:
        mark, style = "·", "dim"
    text = Text(plain(entry.text, 600))
    if entry.decision:
        text.append(f"  [{plain(entry.decision)}]", "dim")
    elif entry.failure:
        text.append(f"  [{plain(entry.failure)}]", "dim")
    return Text.assemble((f"{duration(entry.at):>{width}}  ", "dim"), (f"{mark} ", style), hanging(text, width + 4))


def _show_candidates(entry: StoryEntry, width: int) -> None:
    for candidate in entry.candidates:
        price = "not usable" if candidate.price is None and candidate.reason else usd(candidate.price)
        parts = [plain(candidate.reason, 200)] if candidate.reason else []
        if candidate.facts is not None and candidate.price is not None:
            parts.append(facts_text(candidate.facts))
        details = f"  ({'; '.join(parts)})" if parts else ""
        say(Text(f"{' ' * (width + 4)}{plain(candidate.name, 200)}  {price}{details}", "dim"))


def _show_traceback(text: str | None, width: int) -> None:
    for line in (text or "").splitlines():
        say(Text(f"{' ' * (width + 4)}{plain(line, 300)}", "dim"))


def _show_escalations(story: Story) -> None:
    for escalation in story.escalations:
        say()
        say(Text("Escalation", "bold"))
        _field("why", escalation.why)
        for rung in escalation.rungs:
            model = f" ({rung.model}, {counted(rung.calls, 'call')})" if rung.model else ""
            _field("asked", f"{rung.rung}{model}: {rung.answer}")
        if escalation.question:
            _field("question", escalation.question)
            for number, choice in enumerate(escalation.choices, 1):
                _field("", f"{number}  {choice}")
            _field("reply", f"{escalation.reply}, by {escalation.by or 'a person'}" if escalation.reply else "none yet")
        else:
            _field("outcome", escalation.resolution)


def _show_end(story: Story) -> None:
    for name, tools in (("undone", story.compensated), ("not undone", story.uncompensated)):
        if tools:
            _field(name, listed(tools))
    if story.impasse:
        _field("impasse" if story.status is not Status.WAITING else "waits", story.impasse)
    healed = sum(failure.answer is not None for failure in story.failures)
    failures = f", {counted(len(story.failures), 'failure')}, {healed} answered" if story.failures else ""
    planned = f", planned price {usd(story.price)}" if story.price is not None else ""
    _field(
        "cost",
        f"{usd(story.cost)} spent{planned}; {duration(story.seconds)}; {counted(len(story.calls), 'call')}{failures}",
    )
    _field("model", f"{counted(story.llm_calls, 'model call')} to decide")
    if story.status is Status.WAITING:
        say(Text(f"answer: {command('resume', story.run_id, 'ANSWER')}", "dim"))
    elif story.status is Status.RUNNING:
        say(Text(f"if no process executes it any more: {command('resume', story.run_id)}", "dim"))
