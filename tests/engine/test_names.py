"""Names of tools, keys, goals, runs, labels, skills and child runs are checked where they enter: one clear error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Agent, DefinitionError, Goal, InputError, Orchestrator, RunContext, Tool
from orchestrator.errors import OrchestratorError

BAD = {
    "half of a surrogate pair": "a\ud800b",
    "NUL": "a\0b",
    "a line break": "a\nb",
    "a paragraph break": "a\u2029b",
    "a tag character": "a\U000e0041b",
    "a mark of writing direction": "a\u202eb",
    "an escape sequence": "a\x1b[31mb",
    "a character of no width": "a\u200bb",
    "a byte order mark": "\ufeffab",
    "a soft hyphen": "a\u00adb",
    "a blank at the end": "ab ",
    "too long": "a" * 5000,
}
ENTRIES: dict[str, Callable[[str], Any]] = {
    "tool": lambda text: Tool(lambda: 1, name=text, gives="x"),
    "agent": lambda text: Agent(lambda: 1, name=text, gives="x"),
    "skill": lambda text: Agent(lambda: 1, name="a", gives="x", skills=[text]),
    "needs": lambda text: Tool(lambda a: 1, name="t", needs={"a": text}, gives="x"),
    "gives": lambda text: Tool(lambda: 1, name="t", gives=text),
    "several gives": lambda text: Tool(lambda: 1, name="t", gives=["x", text]),
    "goal": Goal,
    "lesser goal": lambda text: Goal("x", demotions=[text]),
    "providable": lambda text: Goal("x", providable=[text]),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_declaration_refuses_a_name_that_misleads(entry: str, bad: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        ENTRIES[entry](BAD[bad])
    told = str(raised.value)
    assert told.isprintable()
    assert len(told) < 400
    assert "cannot be the name of" in told


@pytest.mark.parametrize("store", ["memory", "disk"])
@pytest.mark.parametrize("bad", BAD)
async def test_a_call_refuses_a_name_that_misleads(bad: str, store: str, tmp_path: Path) -> None:
    text = BAD[bad]
    async with Orchestrator(
        [Tool(lambda: 1, name="t", gives="x")], store=tmp_path / "runs.db" if store == "disk" else None
    ) as orc:
        with pytest.raises(InputError):
            await orc.run("x", run_id=text)
        with pytest.raises(InputError):
            await orc.run("x", labels={text: "v"})
        with pytest.raises(InputError):
            await orc.run("x", labels={"k": text})
        with pytest.raises(InputError):
            await orc.run("x", {text: 1})
        with pytest.raises(OrchestratorError):
            await orc.run(text)
        for ask in (orc.resume, orc.cancel, orc.wait):
            with pytest.raises(InputError, match="There is no run"):
                await ask(text)
        for look in (orc.verify, orc.replay, orc.outcome):
            with pytest.raises(InputError):
                look(text)
        with pytest.raises(InputError):
            orc.feedback(text, "x", True)
        assert (await orc.run("x")).ok


@pytest.mark.parametrize("bad", BAD)
async def test_a_key_of_a_child_or_of_once_is_a_name_too(bad: str) -> None:
    said: list[str] = []

    async def parent(ctx: RunContext) -> int:
        for use in (lambda: ctx.reach("x", key=BAD[bad]), lambda: ctx.once(BAD[bad], lambda: 1)):
            with pytest.raises(InputError) as raised:
                await use()
            said.append(str(raised.value))
        return int((await ctx.reach("x", key="order/7 & more")).value)

    async with Orchestrator([Tool(lambda: 1, name="t", gives="x"), Tool(parent, gives="y")]) as orc:
        assert (await orc.run("y")).value == 1
    assert len(said) == 2


@pytest.mark.parametrize("name", ["Größe", "価格", "a b", "a/b", "a.b-c:d@e", "naïve ☕"])
async def test_other_names_are_welcome(name: str) -> None:
    async with Orchestrator([Tool(lambda: 1, name=name, gives=name)]) as orc:
        out = await orc.run(name, run_id=name, labels={name: name})
        assert (out.value, orc.verify(name).ok, orc.replay(name).agrees) == (1, True, True)
