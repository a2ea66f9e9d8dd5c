"""`HealthBook`: the entries of all tools and transitions, who is told of changes, and how they are stored."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orchestrator.core.clock import Clock
from orchestrator.core.errors import InputError, StoreError, nearest
from orchestrator.core.forks import new_rlock
from orchestrator.core.policy import Policy

from .entry import GRAINS, Entry
from .latency import LatencyBuckets
from .status import Target


class HealthBook:
    """In memory; safe to use from several threads. Everything else about health is built on it."""

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self.policy = policy
        self.version = 0
        """Grows with each change."""
        self.known: Callable[[], Iterable[str]] | None = None
        """The names of all tools, when somebody knows them: then a wrong name is an error."""
        self._clock = clock
        self._entries: dict[Target, Entry] = {}
        self._restless: set[Target] = set()
        """What was touched since time was last found to change nothing about it."""
        self._listeners: list[Callable[[frozenset[Target]], None]] = []
        self._lock = new_rlock()
        self._tells = False
        self._tellings = 0

    def touched(self) -> tuple[str, ...]:
        """Names of the tools that something is known about, sorted."""
        with self._lock:
            return tuple(sorted(target for target in self._entries if isinstance(target, str)))

    def touched_transitions(self) -> tuple[tuple[str, str], ...]:
        """The transitions that something is known about, sorted."""
        with self._lock:
            return tuple(sorted(target for target in self._entries if isinstance(target, tuple)))

    def subscribe(self, listener: Callable[[frozenset[Target]], None]) -> Callable[[], None]:
        """Call `listener` with the targets whose prices changed; returns what ends it. A listener never raises."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Everything, as plain data by name for a store: statistics, and circuits exactly."""
        with self._lock:
            now, time = self._now(), self._clock.time()
            targets: list[Target] = [*self.touched(), *self.touched_transitions()]
            return {
                label_of(target): {
                    "version": 1,
                    "target": target if isinstance(target, str) else list(target),
                    "time": time,
                    **self._entries[target].to_json(now),
                }
                for target in targets
            }

    def restore_snapshot(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what `snapshot` wrote; the time in between passes for it. Raises `StoreError` when unreadable."""
        entries = self._read(data)
        with self._lock:
            self._entries.update(entries)
            self._restless.update(entries)
        self._notify(*entries)

    def tell_news(self) -> None:
        """From now on keep what this process alone sees, for the others that share its store."""
        with self._lock:
            self._tells = True
            for entry in self._entries.values():
                entry.news = Entry(self._buckets())
                entry.told = entry.turn

    def turned(self, targets: Iterable[Target]) -> bool:
        """Whether a circuit of these opened or closed, and the others do not know of it."""
        if not self._tells:
            return False
        with self._lock:
            entries = [self._entries[target] for target in targets if target in self._entries]
            return any(entry.turn != entry.told for entry in entries)

    def news(self) -> dict[str, dict[str, Any]]:
        """What this process alone has seen since it was last asked, by name: for `sharing.merged`."""
        with self._lock:
            now, time = self._now(), self._clock.time()
            found: dict[str, dict[str, Any]] = {}
            targets: list[Target] = [*self.touched(), *self.touched_transitions()]
            for target in targets:
                entry = self._entries[target]
                if entry.news is None or not (entry.news.calls or entry.turn != entry.told or entry.pressing(now)):
                    continue
                found[label_of(target)] = {
                    "version": 1,
                    "target": target if isinstance(target, str) else list(target),
                    "time": time,
                    **entry.news_to_json(now),
                }
                entry.news, entry.told = Entry(self._buckets()), entry.turn
                entry.writes += 1
            self._tellings += bool(found)
            return found

    @property
    def tellings(self) -> int:
        """How often there were news: what was loaded before the latest of them does not hold them yet."""
        return self._tellings

    def take(self, data: Mapping[str, Mapping[str, Any]], tellings: int) -> None:
        """Take over what is stored, where other processes changed it; nothing if there were news since `tellings`.

        Their counts are added; of circuits the latest turn is taken as a hint: one that opened stays closed here if
        this process has seen the tool succeed since. Raises `StoreError` when it is unreadable.
        """
        entries = self._read({name: item for name, item in data.items() if self._others_wrote(item)})
        with self._lock:
            if tellings != self._tellings:
                return
            for target, stored in entries.items():
                self._entry(target).take(stored, self.policy.circuit.half_life)
        if entries:
            self._notify(*entries)

    def _others_wrote(self, item: Mapping[str, Any]) -> bool:
        entry = self._entries.get(_target_of(item)) if "target" in item else None
        return entry is None or entry.writes != item.get("writes", 0)

    def merge_statistics(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Add another process's counts (not its circuits) to these. Raises `StoreError` when unreadable."""
        entries = self._read(data)
        half_life = self.policy.circuit.half_life
        with self._lock:
            for target, other in entries.items():
                self._entry(target).add(other, half_life)
        self._notify(*entries)

    def _read(self, data: Mapping[str, Mapping[str, Any]]) -> dict[Target, Entry]:
        found: dict[Target, Entry] = {}
        now, time = self._now(), self._clock.time()
        for name in sorted(data):
            try:
                item = dict(data[name])
                target = _target_of(item)
                then = now - max(0.0, time - float(item["time"]))
                entry = Entry.from_json(item, then, self.policy.circuit.half_life)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise StoreError(f"The stored health of {name!r} cannot be read ({type(error).__name__}).") from None
            found[target] = entry
        return found

    def _now(self) -> float:
        return self._clock.monotonic()

    def _grain_of(self, now: float) -> int:
        return math.floor(now / (self.policy.circuit.half_life / GRAINS))

    def _buckets(self) -> LatencyBuckets:
        return LatencyBuckets(self.policy.circuit.half_life)

    def _entry(self, target: Target) -> Entry:
        """The entry of a target, to be changed."""
        self._restless.add(target)
        entry = self._entries.get(target)
        if entry is None:
            news = Entry(self._buckets()) if self._tells else None
            entry = self._entries[target] = Entry(self._buckets(), news=news)
        return entry

    def _target(self, name: str, to: str | None) -> Target:
        if self.known is not None:
            names = sorted(self.known())
            for each in (name, to):
                if each is not None and each not in names:
                    raise InputError(f"There is no tool {each!r}.{nearest(each, names)}")
        return name if to is None else (name, to)

    def _notify(self, *targets: Target) -> None:
        changed = frozenset(targets)
        with self._lock:
            self.version += 1
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(changed)


def _target_of(item: Mapping[str, Any]) -> Target:
    target: Any = item["target"]
    return target if isinstance(target, str) else (str(target[0]), str(target[1]))


def label_of(target: Target) -> str:
    """A target for people."""
    return target if isinstance(target, str) else " -> ".join(target)
