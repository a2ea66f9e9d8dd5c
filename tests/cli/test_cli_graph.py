"""`orchestrator graph`: Mermaid with prices on the edges, and hostile names that stay text."""

import re
from pathlib import Path

from orchestrator import START, Orchestrator, Tool
from orchestrator.cli.planning.plan import mermaid
from tests.cli.conftest import Cli

LINE = re.compile(
    r'flowchart LR|    \w+(\(\["[^"]*"\]\)|\["[^"]*"\]|\(\("START"\)\))'
    r'|    \w+ (-->|==>|--x)(\|"[^"]*"\|)? \w+'
)


def test_the_graph_with_prices_and_a_route(cli: Cli) -> None:
    said = cli("graph", "title", "document=slow.txt")
    assert said.exit == 0
    lines = said.out.splitlines()
    assert all(LINE.fullmatch(line) for line in lines), [line for line in lines if not LINE.fullmatch(line)]
    names = {match[2]: match[1] for line in lines if (match := re.match(r'    (t\d+)\["(.*)"\]', line))}
    assert {"quick", "thorough", "headline"} <= set(names)
    assert any(re.match(rf'    k\d+ ==>\|"\$0\.00\d+"\| {names["quick"]}$', line) for line in lines)
    assert any(
        re.match(rf'    {names["quick"]} ==>\|"text \$0\.000\d+"\| {names["headline"]}$', line) for line in lines
    )
    assert any(re.match(rf'    {names["thorough"]} -->\|"text ', line) for line in lines)
    assert any(re.match(rf"    {names['headline']} ==> g0$", line) for line in lines)
    assert not Path(".orchestrator").exists()


def test_what_is_down_is_crossed_out(cli: Cli) -> None:
    cli("health", "--trip", "quick")
    assert re.search(r'    k\d+ --x\|"down"\| t\d+', cli("graph").out)


def test_mistakes(cli: Cli) -> None:
    assert cli("graph", "--format", "svg").exit == 2
    assert cli("graph", "titel").exit == 2
    assert cli("graph", "title").exit == 4


def test_transitions_and_hostile_names() -> None:
    def work(k: int) -> int:
        return k

    evil = 'x"]; click t0 "javascript:alert(1)" %%{init}%% <script>'
    orc = Orchestrator([Tool(work, name=evil, gives="a|b"), Tool(work, name="b", gives="c")])
    orc.connect(START, evil, cost=0.25)
    orc.connect(evil, "b", cost=0.5)
    text = mermaid(orc)
    assert all(LINE.fullmatch(line) for line in text.splitlines()), text
    assert "<" not in text
    assert re.search(r'start -->\|"\$0\.27\d*"\| t1', text)
