"""How failures are classed, on other people's data: real tool messages, and a list of failure classes.

    python benchmarks/failures.py [FOLDER]      default ../shared/data

FOLDER holds `tau_airline/` (from sierra-research/tau-bench @ 59a200c: historical_trajectories/gpt-4o-airline.json,
gzipped) and `paladin/` (from 33k0/PALADIN-Framework @ db518d8: recovery_dictionary.json). Both are public on GitHub.
"""

import gzip
import json
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.enums import CircuitState, FailureKind
from orchestrator.core.policy import Policy
from orchestrator.errors import CallerError, InvalidOutput, RateLimited, Refused, Unavailable
from orchestrator.graph.tool import Tool
from orchestrator.health import HealthRegistry
from orchestrator.health.failures.classify import classify, no_error_text
from orchestrator.testing import FakeClock

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"
SECONDS_BETWEEN_CALLS = 1.0


@dataclass(frozen=True)
class Message:
    """What one tool answered in a recorded run."""

    tool: str
    text: str
    is_error: bool


@dataclass(frozen=True)
class Airline:
    """What the messages became."""

    messages: int
    errors: int
    kinds: Counter[str]
    tools: int
    opened: tuple[str, ...]
    """Circuits that were ever open."""
    opened_naively: tuple[str, ...]
    """Those that would have been, had every error counted as a failure of the tool."""
    lowest_success: float


class HttpError(Exception):
    """An answer of a client library that carries a status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status


def main(arguments: list[str]) -> int:
    """Print both tables."""
    folder = Path(arguments[0]) if arguments else DEFAULT
    airline = folder / "tau_airline" / "gpt-4o-airline.json.gz"
    paladin = folder / "paladin" / "recovery_dictionary.json"
    missing = [str(path) for path in (airline, paladin) if not path.is_file()]
    if missing:
        print(f"Missing: {', '.join(missing)}.\n{__doc__}", file=sys.stderr)
        return 2 if arguments else 0  # without the data there is nothing to measure, which is no failure
    show_airline(play(list(messages_of(airline))))
    show_classes(json.loads(paladin.read_text(encoding="utf-8")))
    return 0


def messages_of(path: Path) -> Iterator[Message]:
    """Every tool message of the recorded runs, in order."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        runs: list[dict[str, Any]] = json.load(stream)
    for run in runs:
        for item in run["traj"]:
            if item.get("role") == "tool":
                text = str(item["content"])
                yield Message(str(item["name"]), text, text.startswith("Error"))


def play(messages: list[Message]) -> Airline:
    """Let each message be the answer of a tool whose `ensure` is `no_error_text`, a second apart."""
    clock, policy = FakeClock(), Policy()
    health, naive = HealthRegistry(policy, clock), HealthRegistry(policy, clock)
    kinds: Counter[str] = Counter()
    opened: set[str] = set()
    opened_naively: set[str] = set()
    for message in messages:
        clock.advance(SECONDS_BETWEEN_CALLS)
        kind = kind_of(message)
        kinds[str(kind or "ok")] += 1
        health.record(message.tool, kind is None, kind, 0.1)
        naive.record(message.tool, not message.is_error, FailureKind.BUG if message.is_error else None, 0.1)
        for registry, found in ((health, opened), (naive, opened_naively)):
            if registry.status(message.tool).circuit is not CircuitState.CLOSED:
                found.add(message.tool)
    names = health.touched()
    return Airline(
        len(messages),
        sum(message.is_error for message in messages),
        kinds,
        len(names),
        tuple(sorted(opened)),
        tuple(sorted(opened_naively)),
        min(health.status(name).success for name in names),
    )


def kind_of(message: Message) -> FailureKind | None:
    """The kind of failure that a message is; `None` for a result."""
    tool = Tool(lambda: message.text, name=message.tool, ensure=no_error_text)
    try:
        no_error_text(message.text)
    except Exception as error:
        return classify(error, tool, started=True)
    return None


def show_airline(found: Airline) -> None:
    """Print what the messages became."""
    print(f"tau-bench airline: {found.messages} tool messages of {found.tools} tools, {found.errors} of them errors")
    for kind, count in sorted(found.kinds.items()):
        print(f"  {kind:<16}{count:>6}")
    print(f"  circuits that opened: {', '.join(found.opened) or 'none'}")
    print(f"  circuits that would open if every error counted: {', '.join(found.opened_naively) or 'none'}")
    print(f"  lowest probability of success of any tool: {found.lowest_success:.3f}")


def examples() -> dict[str, BaseException]:
    """For each class of the list that is no HTTP status, the exception that stands for it in Python."""
    return {
        "DNS Resolution Error": socket.gaierror(-2, "Name or service not known"),
        "Malformed JSON": json.JSONDecodeError("Expecting value", "{", 0),
        "JSON Schema Violation": InvalidOutput("quote is no Quote: usd: Field required"),
        "NoSuchToolError": Unavailable("there is no such tool"),
        "InvalidToolArgumentsError": CallerError("usd must be a number"),
        "ToolExecutionError": RuntimeError("the tool broke"),
        "ToolCallRepairError": InvalidOutput("the repaired answer is not valid either"),
        "RuntimeError": RuntimeError("unexpected"),
        "DataError": InvalidOutput("the data is incomplete"),
        "ConnectionError": ConnectionError("connection failed"),
        "TypeError": TypeError("unsupported operand"),
        "NullPointerException": AttributeError("'NoneType' object has no attribute 'x'"),
        "IndexOutOfBoundsException": IndexError("list index out of range"),
        "ClassCastException": TypeError("int() argument must be a string"),
        "StackOverflowError": RecursionError("maximum recursion depth exceeded"),
        "OutOfMemoryError": MemoryError(),
        "ResourceLimitExceeded": OSError(28, "No space left on device"),
        "QuotaExceeded": Unavailable("the monthly quota is spent"),
        "RateLimitExceeded": RateLimited(retry_after=3),
        "PermissionDeniedError": PermissionError("permission denied"),
        "CertificateError": ssl.SSLCertVerificationError("certificate has expired"),
        "ModuleNotFoundError": ModuleNotFoundError("No module named 'pypdf'"),
        "ImportError": ImportError("cannot import name"),
        "AttributeError": AttributeError("missing"),
        "KeyError": KeyError("missing"),
        "ValueError": ValueError("bad value"),
        "FileNotFoundError": FileNotFoundError("report.pdf"),
        "IOError": OSError(5, "Input/output error"),
        "UncaughtException": Exception("bubbled up"),
        "AuthenticationTimeout": TimeoutError("the login took too long"),
        "WritePermissionError": PermissionError("read-only"),
        "ReadError": OSError(5, "Input/output error"),
        "BrokenPipeError": BrokenPipeError(),
        "BadGatewayError": HttpError(502),
        "ParseError": json.JSONDecodeError("Expecting value", "{", 0),
        "InvalidContentType": InvalidOutput("text/html is no JSON"),
        "ServiceDependencyFailure": HttpError(424),
        "Refusal": Refused("no seats"),
    }


def show_classes(listed: dict[str, Any]) -> None:
    """Print what each class of the list is, out of a read and out of a write that had begun."""
    stand_ins = examples()
    read = Tool(lambda: None, name="read")
    write = Tool(lambda: None, name="write", effect="write")
    names = [name for name in listed if name != "_legend"]
    errors = {name: HttpError(int(name)) if name.isdigit() else stand_ins.get(name) for name in names}
    print(f"\nPALADIN: {len(names)} failure classes")
    print(f"  {'class':<28}{'out of a read':<18}out of a write that had begun")
    kinds: Counter[str] = Counter()
    uncertain = 0
    for name in names:
        error = errors[name]
        if error is None:
            kinds["no counterpart"] += 1
            print(f"  {name:<28}no counterpart")
            continue
        of_read, of_write = classify(error, read, started=True), classify(error, write, started=True)
        kinds[str(of_read)] += 1
        uncertain += of_write is FailureKind.AMBIGUOUS
        print(f"  {name:<28}{of_read!s:<18}{of_write}")
    counted = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    print(f"  {counted}; out of a write that had begun, ambiguous {uncertain}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
