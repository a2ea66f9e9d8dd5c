"""The gold calls of BFCL's multi-turn `base` cases through `HealingToolNode`: are answers and final states the same?

`python -m benchmarks.bfcl_tool_node DATA SOURCE`: DATA holds `possible_answer/BFCL_v4_multi_turn_base.json` and the
questions, SOURCE is `berkeley-function-call-leaderboard` of the gorilla repository (Apache-2.0), whose simulated APIs
are run (they need mpmath). Neither is part of this project. Three passes: without faults, with one refused connection
before each call, and with one dead tool in each case that has a declared equivalent.
"""

import ast
import copy
import importlib
import inspect
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph

from orchestrator import HealingToolNode, Policy

MODULES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}
STATELESS = ("MathAPI",)
POLICY = Policy.model_validate({"retries": {"attempts": 2, "base_seconds": 0.0001, "floor": 100_000}})


def instances(case: Mapping[str, Any]) -> dict[str, Any]:
    """The APIs of a case, in their first state."""
    made: dict[str, Any] = {}
    for name in case["involved_classes"]:
        module = importlib.import_module(f"bfcl_eval.eval_checker.multi_turn_eval.func_source_code.{MODULES[name]}")
        made[name] = getattr(module, name)()
        if name not in STATELESS:
            made[name]._load_scenario(copy.deepcopy(case.get("initial_config", {}).get(name, {})))
    return made


def methods(apis: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Every public method of the APIs by its name."""
    return {
        name: member
        for api in apis.values()
        for name, member in inspect.getmembers(api, inspect.ismethod)
        if not name.startswith("_")
    }


def parsed(call: str, known: Mapping[str, Callable[..., Any]]) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a call as it is written."""
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    names = list(inspect.signature(known[name]).parameters)  # noqa: TID251
    arguments = {names[place]: ast.literal_eval(value) for place, value in enumerate(node.args)}
    return name, arguments | {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}


def states(apis: Mapping[str, Any]) -> dict[str, Any]:
    """What the APIs hold at the end."""
    return {name: {k: v for k, v in vars(api).items() if not k.startswith("_")} for name, api in apis.items()}


def tool_of(name: str, method: Callable[..., Any], faults: list[Exception], dead: bool) -> StructuredTool:
    """A method as a LangChain tool; `faults` are raised before its next calls."""

    def run(**arguments: Any) -> str:
        if dead:
            raise ConnectionRefusedError("the service is gone")
        if faults:
            raise faults.pop()
        return json.dumps(method(**arguments), default=str)

    properties: dict[str, Any] = {parameter: {} for parameter in inspect.signature(method).parameters}  # noqa: TID251
    schema = {"type": "object", "properties": properties}
    return StructuredTool(name=name, description=name, args_schema=schema, func=run)


def through_node(case: Mapping[str, Any], calls: list[str], mode: str) -> tuple[list[str], dict[str, Any]]:
    """The answers, and the final states, when the calls go through a healing tool node."""
    apis = instances(case)
    known = methods(apis)
    listed = [parsed(call, known) for call in calls]
    used = sorted({name for name, _ in listed})
    dead = listed[0][0] if mode == "dead" and listed else ""
    faults: list[Exception] = []
    tools = [tool_of(name, known[name], faults, name == dead) for name in used]
    alternatives: dict[str, list[str]] = {}
    if dead:
        tools.append(tool_of(f"{dead}_elsewhere", known[dead], faults, False))
        alternatives[dead] = [f"{dead}_elsewhere"]
    builder = StateGraph(MessagesState)
    builder.add_node("tools", HealingToolNode(tools, alternatives=alternatives, policy=POLICY))
    builder.add_edge(START, "tools")
    builder.add_edge("tools", END)
    graph = builder.compile()
    answers: list[str] = []
    for number, (name, arguments) in enumerate(listed):
        if mode == "transient":
            faults.append(ConnectionRefusedError("refused"))
        asked = AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"c{number}"}])
        answers.append(graph.invoke({"messages": [asked]})["messages"][-1].text)
    return answers, states(apis)


def direct(case: Mapping[str, Any], calls: list[str]) -> tuple[list[str], dict[str, Any]]:
    """The answers, and the final states, when the calls are made without anything between."""
    apis = instances(case)
    known = methods(apis)
    listed = [parsed(call, known) for call in calls]
    return [json.dumps(known[name](**arguments), default=str) for name, arguments in listed], states(apis)


def main(data: Path, source: Path) -> None:
    """Run the three passes and print how many cases end in the same states."""
    sys.path.insert(0, str(source))
    questions = [json.loads(line) for line in (data / "BFCL_v4_multi_turn_base.json").read_text().splitlines()]
    gold_lines = (data / "possible_answer" / "BFCL_v4_multi_turn_base.json").read_text().splitlines()
    gold = {answer["id"]: answer["ground_truth"] for answer in map(json.loads, gold_lines)}
    for mode in ("none", "transient", "dead"):
        same = calls = 0
        began = time.perf_counter()
        for case in questions:
            listed = [call for turn in gold[case["id"]] for call in turn]
            calls += len(listed)
            if repr(direct(case, listed)) == repr(through_node(case, listed, mode)):
                same += 1
            else:
                print("differs:", case["id"])
        seconds = time.perf_counter() - began
        ended = f"{same} of {len(questions)} cases with identical answers and final states"
        print(f"{mode:10} {ended}, {calls} calls, {seconds:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
