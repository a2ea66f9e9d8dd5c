"""The tamper-evident ledger: checking a run, checking a store, and a copy of a run that can be checked without one.

Every record contains the hash of the record before (SHA-256 over canonical JSON), a run's closing record contains the
number of records and the digest of its row, and every ended run is sealed in a chain over runs.
docs/explanation/ledger.md says what that proves, and what it cannot prove without a head that is kept elsewhere.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, cast

from orchestrator.core.enums import Status
from orchestrator.graph.revision import GraphRevision
from orchestrator.store.protocol import Store
from orchestrator.store.rows import Record, RunRow, Seal
from orchestrator.store.unknown_run import unknown_run

from .chain import GENESIS, canonical, canonical_text, link, seal_link
from .check import check_chain
from .encoding import decode_body

__all__ = [
    "GENESIS",
    "StoreVerification",
    "Verification",
    "canonical",
    "check_chain",
    "export",
    "link",
    "verify_export",
    "verify_run",
    "verify_store",
]

FORMAT: Final = "orchestrator-ledger/1"
"""The format name in the first line of an export."""

_PAGE: Final = 500
_TRIES: Final = 3


@dataclass(frozen=True)
class Verification:
    """Whether the ledger of a run is whole and unchanged.

    `head` (the hash of its last record) and `count` anchor it: a run that still has this head, printed or sent
    elsewhere at the time, is the run it was then.
    """

    run_id: str
    problems: tuple[str, ...]
    head: str
    count: int

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems


@dataclass(frozen=True)
class StoreVerification:
    """Whether the ledgers of all runs of a store are whole and unchanged, and the chain over the runs that ended.

    `head` (the hash of the newest seal; of several chains the newest of each, joined by commas) and `sealed` anchor all
    of them at once.
    """

    problems: tuple[str, ...]
    head: str
    sealed: int
    """Runs that have ended."""
    runs: int
    """Number of runs, including those that have not ended."""

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems


def verify_run(store: Store, run_id: str, head: str = "") -> Verification:
    """Check the ledger of one run in a store, and the graphs of its decisions.

    `head` is one that was noted earlier: a rewritten or shortened ledger does not contain it.
    Raises:
        InputError: there is no such run.
    """
    row, records = _snapshot(store, run_id)
    problems = [*check_chain(records, row), *_check_graphs(records, _Graphs(store.graph))]
    problems += _check_own_seal(row, store.seals(run_id=run_id))
    problems += _check_head(head, [record.hash for record in records], "record")
    return Verification(run_id, tuple(problems), row.head, row.count)


def verify_store(store: Store, head: str = "") -> StoreVerification:
    """Check every run of a store, the chain over runs, and that the chain contains `head`, which was noted earlier."""
    problems: list[str] = []
    runs = 0
    ended: dict[str, str] = {}
    graphs = _Graphs(store.graph)
    for run_id in _all_runs(store):
        row, records = _snapshot(store, run_id)
        runs += 1
        found = [*check_chain(records, row), *_check_graphs(records, graphs)]
        problems += [f"run {run_id!r}: {problem}" for problem in found]
        if row.status.ended:
            ended[row.run_id] = row.head
    seals = store.seals()
    problems += _check_seals(store, seals, ended)
    hashes = [seal.hash for seal in seals]
    for noted in head.split(","):
        problems += _check_head(noted, hashes, "seal")
    return StoreVerification(tuple(problems), _newest(seals), len(seals), runs)


def export(store: Store, run_id: str) -> Iterator[str]:
    """A run's ledger as JSON Lines: the run, its graphs, its records, and its seal if it has ended.

    Raises:
        InputError: there is no such run.
    """
    row, records = _snapshot(store, run_id)
    yield canonical_text({"format": FORMAT, "run": _exported(row)})
    for digest in _graphs_of(records):
        yield canonical_text({"digest": digest, "graph": store.graph(digest)})
    for record in records:
        yield canonical_text({"record": asdict(record)})
    for seal in store.seals(run_id=run_id):
        yield canonical_text({"seal": {name: fact for name, fact in asdict(seal).items() if name != "lane" or fact}})


def verify_export(lines: Iterable[str], head: str = "") -> Verification:
    """Check an export by itself, without the store or this machine."""
    problems: list[str] = []
    row: RunRow | None = None
    records: list[Record] = []
    seals: list[Seal] = []
    graphs: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        thing = decode_body(line.rstrip("\n"))
        try:
            if number == 1:
                row = _read_row(thing)
            elif "graph" in thing:
                graphs[thing["digest"]] = thing["graph"]
            elif "record" in thing:
                records.append(Record(**thing["record"]))
            else:
                seals.append(Seal(**thing["seal"]))
        except (KeyError, TypeError, ValueError):
            problems.append(f"line {number} is not what an export holds there")
    if row is None:
        return Verification("", tuple(problems or ["it is empty"]), GENESIS, 0)
    problems += [*check_chain(records, row), *_check_graphs(records, _Graphs(graphs.get))]
    unused = sorted(set(graphs) - set(_graphs_of(records)))
    problems += [f"no record names the graph {digest[:12]!r}" for digest in unused]
    problems += _check_own_seal(row, seals)
    problems += _check_head(head, [record.hash for record in records], "record")
    return Verification(row.run_id, tuple(problems), row.head, row.count)


class _Graphs:
    """Graphs by digest, each read and hashed once."""

    def __init__(self, find: Callable[[str], dict[str, Any] | None]) -> None:
        self._find = find
        self._known: dict[str, str | None] = {}

    def problem(self, digest: str) -> str | None:
        """The problem of the graph with this digest."""
        if digest not in self._known:
            self._known[digest] = self._check(digest)
        return self._known[digest]

    def _check(self, digest: str) -> str | None:
        data = self._find(digest)
        if data is None:
            return "is missing"
        try:
            return None if GraphRevision.from_json(data).digest == digest else "was changed"
        except (AttributeError, KeyError, TypeError, ValueError):
            return "was changed"


def _graphs_of(records: Sequence[Record]) -> list[str]:
    """The digests of the graphs that records name, sorted."""
    named = {record.body.get("graph") for record in records}
    return sorted(digest for digest in named if isinstance(digest, str) and digest)


def _check_graphs(records: Sequence[Record], graphs: _Graphs) -> Iterator[str]:
    """Check the graphs against the digests in the records of decisions."""
    for digest in _graphs_of(records):
        problem = graphs.problem(digest)
        if problem is not None:
            yield f"the graph {digest[:12]!r} that was decided on {problem}"


def _all_runs(store: Store) -> Iterator[str]:
    """The ids of all runs, each once; runs that start meanwhile only move others to a later page."""
    ids: set[str] = set()
    offset = 0
    while page := store.runs(limit=_PAGE, offset=offset):
        offset += _PAGE
        for row in page:
            if row.run_id not in ids:
                ids.add(row.run_id)
                yield row.run_id


def _snapshot(store: Store, run_id: str) -> tuple[RunRow, list[Record]]:
    """A run and its records as they were at one moment, also while the run continues."""
    row, records = store.run(run_id), store.records(run_id)
    for _ in range(_TRIES):
        if row is None:
            raise unknown_run(store, run_id)
        again = store.run(run_id)
        if again is None or again == row:
            return row, records
        row, records = again, store.records(run_id)
    assert row is not None
    return row, [record for record in records if record.seq <= row.count]


def _newest(seals: Sequence[Seal]) -> str:
    """The newest seal of each lane."""
    last = {seal.lane: seal.hash for seal in seals}
    return ",".join(last[lane] for lane in sorted(last)) or GENESIS


def _check_head(head: str, hashes: Sequence[str], what: str) -> list[str]:
    return [] if not head or head in hashes else [f"no {what} has the head {head!r}: it was rewritten, or cut"]


def _check_seals(store: Store, seals: Sequence[Seal], ended: Mapping[str, str]) -> list[str]:
    """The chains over runs against themselves and against the runs that have ended."""
    problems: list[str] = []
    newest: dict[int, Seal] = {}
    sealed: dict[str, str] = {}
    for seal in seals:
        before = newest.get(seal.lane)
        n, prev = (before.n + 1, before.hash) if before else (1, GENESIS)
        lane = f" of lane {seal.lane}" if seal.lane else ""
        if seal.n != n:
            problems.append(f"seal {n}{lane} is missing")
        if seal.prev != prev:
            problems.append(f"seal {seal.n}{lane} does not follow the seal before")
        if seal.hash != seal_link(seal.prev, seal.n, seal.run_id, seal.head, seal.lane):
            problems.append(f"seal {seal.n}{lane} was changed")
        newest[seal.lane] = seal
        sealed[seal.run_id] = seal.head
    pruned = store.pruned()
    for run_id in sorted(sealed.keys() - pruned):
        row = store.run(run_id) if run_id not in ended else None
        head = ended.get(run_id) or (row.head if row is not None else None)
        if head is None:
            problems.append(f"run {run_id!r} is sealed and is gone")
        elif head != sealed[run_id]:
            problems.append(f"run {run_id!r} is not as it was sealed")
    problems += [
        f"run {run_id!r} has ended and its seal is missing" for run_id in sorted(ended) if run_id not in sealed
    ]
    return problems


def _exported(row: RunRow) -> dict[str, Any]:
    """A run in an export: without its place in the queue, and with labels only if there are any."""
    facts = {**asdict(row), "status": str(row.status)}
    left_out = {"wake", "attempts"} if row.labels else {"wake", "attempts", "labels"}
    return {name: fact for name, fact in facts.items() if name not in left_out}


def _read_row(thing: Mapping[str, Any]) -> RunRow:
    if thing["format"] != FORMAT:
        raise ValueError(thing["format"])
    run = cast("dict[str, Any]", thing["run"])
    return replace(RunRow(**run), status=Status(run["status"]))


def _check_own_seal(row: RunRow, seals: Sequence[Seal]) -> list[str]:
    """The seal of a run that has ended, and no seal of one that has not."""
    if len(seals) != int(row.status.ended):
        return [f"it has {len(seals)} seals, and the run is {row.status}"]
    for seal in seals:
        if seal.hash != seal_link(seal.prev, seal.n, seal.run_id, seal.head, seal.lane):
            return [f"seal {seal.n} was changed"]
        if (seal.run_id, seal.head) != (row.run_id, row.head):
            return [f"seal {seal.n} is not that of the run"]
    return []
