"""`EntryTable`: the entries of all targets in memory, by declaration, and how they are stored and shared."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orchestrator.core.clock import Clock
from orchestrator.core.errors import StoreError
from orchestrator.core.policy import Policy
from orchestrator.core.process.forks import new_rlock, renew_after_fork
from orchestrator.graph.tool import Tool

from .circuit import Voices
from .declaration import CREDENTIAL, Declaration, label_of_declaration
from .entry import Entry, target_name, target_of
from .status import Target


def _no_tool(name: str) -> Tool | None:
    del name
    return None


def _no_problem(message: str) -> None:
    del message


class EntryTable:
    """Entries by label; safe to use from several threads under `lock`.

    A label is a transition, or a tool's name with the digest of its declaration: programs whose tools share a name
    share no entry. A plain name is the label of changes by hand, which apply to every declaration of that name, and of
    names that are no tools of the graph.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self.lock = new_rlock()
        self.tool_of: Callable[[str], Tool | None] = _no_tool
        """Returns the declared tool of a name, if there is a graph."""
        self.on_problem: Callable[[str], None] = _no_problem
        self.restless: set[Target] = set()
        """Labels of entries that time alone may change."""
        self.published = 0
        """How often deltas were published; data that was loaded before the latest publication does not contain it."""
        self._half_life = policy.circuit.half_life
        self._clock = clock
        self.by_label: dict[Target, Entry] = {}
        self.transitions: tuple[tuple[str, str], ...] = ()
        """The transitions with an entry, sorted."""
        self._labels: dict[str, set[str]] = {}
        """Name of a tool -> the labels of its entries."""
        self._declared: dict[str, tuple[Tool, Declaration]] = {}
        self._publishes = False
        self._name = secrets.token_hex(4)
        """Id of this process among those that publish."""
        renew_after_fork(self)

    def after_fork(self) -> None:
        """In a forked child: publish under another id, without the parent's deltas."""
        self._name = secrets.token_hex(4)

    def __contains__(self, label: object) -> bool:
        return label in self.by_label

    def items(self) -> list[tuple[Target, Entry]]:
        """Every label with its entry."""
        return list(self.by_label.items())

    # -- finding -----------------------------------------------------------------------------------------------------

    def declaration(self, name: str) -> Declaration:
        """The declaration of a tool, current or from when it was last in the graph."""
        tool, known = self.tool_of(name), self._declared.get(name)
        if tool is None:
            return known[1] if known is not None else Declaration(name)
        if known is None or known[0] is not tool:
            known = self._declared[name] = (tool, Declaration.of(tool))
        return known[1]

    def label(self, target: Target) -> Target:
        """The label of a tool's current declaration, or of a transition."""
        return self.declaration(target).label if isinstance(target, str) else target

    def find(self, target: Target) -> Entry | None:
        """The entry of a target, if there is one. Without a graph, the latest one of that name."""
        if not isinstance(target, str):
            return self.by_label.get(target)
        declared = self.declaration(target)
        found = self.by_label.get(declared.label)
        if found is not None and (declared.digest or len(self._labels.get(target, ())) < 2):
            return found
        if declared.digest:
            by_hand = self.by_label.get(target)
            return self.entry(target) if by_hand is not None and by_hand.circuit.manual else None
        labels = self._labels.get(target, set())
        entries = [self.by_label[label] for label in sorted(labels)]
        return max(entries, key=lambda e: (e.circuit.manual, e.evidence.at, e.turned_at), default=None)

    def lookup(self, name: str) -> tuple[Declaration, Entry | None]:
        """The declaration of a tool, and its entry if there is one."""
        declared = self.declaration(name)
        found = self.by_label.get(declared.label) if declared.digest else None
        return declared, found or self.find(name)

    def gates(self, name: str) -> tuple[Declaration, Entry | None, Entry]:
        """The declaration of a tool, and the mutable entries that admit its calls: of its credential, if there is one,
        and its own.
        """
        declared = self.declaration(name)
        entry = self.by_label.get(declared.label)
        if entry is None:
            entry = self.entry(name)
        self.restless.add(declared.label)
        return declared, None if declared.scope is None else self.by_label.get(declared.scope), entry

    def scope(self, name: str) -> Entry | None:
        """The entry that all tools with the credential of this one share, if there is one."""
        label = self.declaration(name).scope
        return None if label is None else self.by_label.get(label)

    def entry(self, target: Target) -> Entry:
        """The mutable entry of a target, created if necessary."""
        declared = self.declaration(target) if isinstance(target, str) else None
        label: Target = target if declared is None else declared.label
        found = self.by_label.get(label)
        if found is None:
            digest = "" if declared is None else declared.digest
            found = self._put(label, Entry(self._half_life, target, digest))
            by_hand = self.by_label.get(target) if digest else None
            if by_hand is not None and by_hand.circuit.manual:
                found.merge_circuit(by_hand)
        self.restless.add(label)
        return found

    def scope_entry(self, name: str) -> Entry | None:
        """The mutable entry of a tool's credential; `None` for a tool without one."""
        label = self.declaration(name).scope
        if label is None:
            return None
        self.restless.add(label)
        return self.by_label.get(label) or self._put(label, Entry(self._half_life, label))

    def of_name(self, target: Target) -> list[Entry]:
        """The mutable entries of every declaration of a name: a change by hand applies to all."""
        if not isinstance(target, str):
            return [self.entry(target)]
        self.entry(target)
        if target not in self.by_label:
            self._put(target, Entry(self._half_life, target))
        self.restless.update(self._labels[target])
        return [self.by_label[label] for label in sorted(self._labels[target])]

    def _put(self, label: Target, entry: Entry) -> Entry:
        self.by_label[label] = entry
        if isinstance(label, tuple):
            self.transitions = tuple(sorted({*self.transitions, label}))
        if isinstance(label, str) and isinstance(entry.target, str) and not entry.target.startswith(CREDENTIAL):
            self._labels.setdefault(entry.target, set()).add(label)
        if self._publishes and entry.delta is None:
            entry.delta = entry.empty()
        return entry

    def troubled(self) -> list[Entry]:
        """The entries that are or recently were restricted."""
        known = self.by_label
        return [known[label] for label in self.restless if label in known and not known[label].untroubled]

    def names(self) -> tuple[str, ...]:
        """Names of the tools with an entry, sorted."""
        return tuple(sorted(self._labels))

    # -- stored and shared -------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Every entry as plain data by label."""
        now, time = self._clock.monotonic(), self._clock.time()
        return {
            target_name(label): _item(entry, time, entry.to_json(now))
            for label, entry in sorted(self.by_label.items(), key=lambda pair: target_name(pair[0]))
        }

    def restore(self, data: Mapping[str, Mapping[str, Any]]) -> list[Target]:
        """Replace entries by stored ones, aged by the time in between. Returns the targets."""
        entries = self.read(data)
        for label, entry in entries.items():
            self._put(label, entry)
        for label, entry in entries.items():
            self._spread_by_hand(label, entry)
        self.restless.update(entries)
        return [entry.target for entry in entries.values()]

    def publish_deltas(self) -> None:
        """Collect the observations of this process from now on, for `pending_deltas`."""
        with self.lock:
            self._publishes = True
            for entry in self.by_label.values():
                entry.start_delta()

    def pending_deltas(self) -> dict[str, dict[str, Any]]:
        """The observations of this process since the last call, by label, for `sharing.merged`."""
        with self.lock:
            now, time = self._clock.monotonic(), self._clock.time()
            found: dict[str, dict[str, Any]] = {}
            for label, entry in sorted(self.by_label.items(), key=lambda pair: target_name(pair[0])):
                delta = entry.delta
                if delta is None or not (delta.calls or entry.turn != entry.published or entry.has_pressure(now)):
                    continue
                item = _item(entry, time, entry.delta_to_json(now))
                own = {self._name: (time, entry.opened_here)} if delta.calls else {}
                found[target_name(label)] = {**item, "voices": Voices(own).to_json()}
                entry.start_delta()
                entry.writes += 1
            self.published += bool(found)
            return found

    def is_urgent(self, targets: Iterable[Target]) -> bool:
        """Whether these targets, or their credentials, have changes that must be published at once."""
        with self.lock:
            if not self._publishes:
                return False
            labels = [label for target in targets for label in (self.label(target), target, self._scope_label(target))]
            return any(self.by_label[label].is_urgent for label in labels if label in self.by_label)

    def _scope_label(self, target: Target) -> Target:
        return (self.declaration(target).scope if isinstance(target, str) else None) or target

    def merge_remote(self, data: Mapping[str, Mapping[str, Any]]) -> list[Target]:
        """Merge the data of other processes; returns the targets. Unreadable data are reported and ignored."""
        changed = {name: item for name, item in data.items() if self._written_by_others(item)}
        targets: list[Target] = []
        for label, stored in self.read(changed).items():
            mine = self.by_label.get(label)
            if mine is None:
                mine = self._put(label, Entry(self._half_life, stored.target, stored.declaration))
            self.restless.add(label)
            mine.merge_remote(stored)
            self._spread_by_hand(label, stored)
            targets.append(stored.target)
        return targets

    def _spread_by_hand(self, label: Target, stored: Entry) -> None:
        """Apply what was done by hand to a name to every declaration of it: one may have been stored without it."""
        if label == stored.target and stored.hand_at and isinstance(label, str):
            for other in sorted(self._labels.get(label, ())):
                self.by_label[other].merge_circuit(stored)

    def _written_by_others(self, item: Mapping[str, Any]) -> bool:
        mine = self.by_label.get(_label_of(item)) if "target" in item else None
        return mine is None or mine.writes != item.get("writes", 0)

    def read(self, data: Mapping[str, Mapping[str, Any]]) -> dict[Target, Entry]:
        """Stored items as entries by label. An unreadable item, or one with an impossible number, is reported."""
        found: dict[Target, Entry] = {}
        now, time = self._clock.monotonic(), self._clock.time()
        for name in sorted(data):
            try:
                item = dict(data[name])
                then = now - max(0.0, time - float(item["time"]))
                found[_label_of(item)] = Entry.from_json(item, then, self._half_life)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                problem = StoreError(f"The stored health of {name!r} is ignored: it cannot be read ({error!r}).")
                self.on_problem(str(problem))
        return found


def _item(entry: Entry, time: float, data: dict[str, Any]) -> dict[str, Any]:
    target = entry.target if isinstance(entry.target, str) else list(entry.target)
    return {"version": 2, "target": target, "time": time, **data}


def _label_of(item: Mapping[str, Any]) -> Target:
    target = target_of(item)
    return label_of_declaration(target, str(item.get("declaration", ""))) if isinstance(target, str) else target
