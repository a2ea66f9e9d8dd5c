"""`Transitions`: the explicit edges of a live graph, including those of removed tools."""

from collections.abc import Iterator

from .spec import Transition

_Ends = dict[str, dict[str, Transition]]


class Transitions:
    """Transitions by target and by source.

    A transition of a removed tool is kept as a gate: its target does not start until it is connected again.
    """

    def __init__(self) -> None:
        self._into: _Ends = {}
        self._out_of: _Ends = {}
        self._gates: _Ends = {}
        """By target."""

    def __iter__(self) -> Iterator[Transition]:
        for target in self._into:
            yield from self._into[target].values()

    def get(self, source: str, target: str) -> Transition | None:
        """The transition between two tools, if there is one."""
        return self._into.get(target, {}).get(source)

    def add(self, transition: Transition) -> None:
        """Put in a transition between two tools that have none."""
        source, target = transition.source, transition.target
        self._into.setdefault(target, {})[source] = transition
        self._out_of.setdefault(source, {})[target] = transition
        gates = self._gates.get(target, {})
        gates.pop(source, None)
        if not gates:
            self._gates.pop(target, None)

    def remove(self, name: str) -> set[str]:
        """Take out those of a tool; the tools that they led to."""
        targets = set(self._out_of.get(name, ()))
        gone = [*self._into.get(name, {}).values(), *self._out_of.get(name, {}).values()]
        for transition in gone:
            self._gates.setdefault(transition.target, {})[transition.source] = transition
            _drop(self._into, transition.target, transition.source)
            _drop(self._out_of, transition.source, transition.target)
        return targets

    def into(self, target: str) -> tuple[Transition, ...]:
        """Those that lead to a tool, sorted by source; where there are none the gates, from sources that never end."""
        found = self._into.get(target)
        if found is not None:
            return tuple([found[source] for source in sorted(found)])
        gates = self._gates.get(target, {})
        return tuple([Transition(f"{source} (removed)", target, gates[source].cost) for source in sorted(gates)])

    def targets(self) -> list[str]:
        """The tools that a transition or a gate leads to."""
        return [*self._into, *(target for target in self._gates if target not in self._into)]


def _drop(ends: _Ends, one: str, other: str) -> None:
    del ends[one][other]
    if not ends[one]:
        del ends[one]
