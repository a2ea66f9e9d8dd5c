"""An oracle for joins of middling size: the cheapest plan as an integer program, proven by CP-SAT."""

import networkx as nx
from ortools.sat.python import cp_model

from orchestrator.core.enums import START
from orchestrator.core.route import Problem
from orchestrator.graph.price_table import PriceTable
from orchestrator.graph.revision import GraphRevision


class _Program:
    """One problem as an integer program.

    Where tools wait for each other in a circle every step has a rank and rests on steps of lower rank.
    """

    def __init__(self, view: GraphRevision, prices: PriceTable, problem: Problem) -> None:
        self.model = cp_model.CpModel()
        self.view, self.prices, self.problem = view, prices, problem
        out = {*problem.done, *problem.running, *problem.unusable}
        self.used = {t: self.model.new_bool_var(t) for t in view.nodes if t not in out}
        graph: nx.DiGraph[str] = nx.DiGraph()
        for t, node in view.nodes.items():
            graph.add_edges_from((s, t) for key in node.needs for s in view.producers(key))
            graph.add_edges_from((x.source, t) for x in view.incoming(t))
        self.circle = {t: i for i, part in enumerate(nx.strongly_connected_components(graph)) for t in part}
        self.rank = {t: self.model.new_int_var(0, len(self.used), f"rank {t}") for t in self.used}
        self.terms: list[tuple[int, cp_model.IntVar]] = []
        running = {key for t in problem.running for key in view.nodes[t].gives}
        self.free = {*problem.at_hand, *running}
        for t in self.used:
            for key in view.nodes[t].needs:
                if key not in self.free:
                    self._take(t, key)
            self._start(t)
        for key in problem.goal:
            if key not in self.free:
                self.model.add_bool_or([self.used[t] for t in view.producers(key) if t in self.used])
        self.model.minimize(sum(pico * var for pico, var in self.terms))

    def _rests(self, tool: str, source: str, name: str) -> cp_model.IntVar:
        """A variable that implies that `source` is used, and before `tool`."""
        if self.circle.get(tool) != self.circle.get(source):
            return self.used[source]
        rests = self.model.new_bool_var(name)
        self.model.add_implication(rests, self.used[source])
        self.model.add(self.rank[source] < self.rank[tool]).only_enforce_if(rests)
        return rests

    def _take(self, tool: str, key: str) -> None:
        sources = [
            self._rests(tool, s, f"{tool} takes {key} from {s}") for s in self.view.producers(key) if s in self.used
        ]
        self.model.add_bool_or([*sources, self.used[tool].negated()])

    def _start(self, tool: str) -> None:
        """The prices of a tool by each of its transitions, exactly one of which is taken when it is used."""
        if not self.view.incoming(tool):
            pico = self.prices.price(tool)
            if pico is None:
                self.model.add(self.used[tool] == 0)
            else:
                self.terms.append((pico, self.used[tool]))
            return
        at_hand = self.problem.at_hand
        provided = {t for key, origin in at_hand.items() if origin is None for t in self.view.producers(key)}
        passed = {START, *self.problem.done, *self.problem.running, *provided}
        ways: list[cp_model.IntVar] = []
        for t in self.view.incoming(tool):
            pico = self.prices.price(tool, t.cost, source=t.source)
            barred = (t.source, tool) in self.problem.unusable_transitions
            if pico is None or barred or (t.source not in passed and t.source not in self.used):
                continue
            way = self.model.new_bool_var(f"{tool} via {t.source}")
            if t.source not in passed:
                self.model.add_implication(way, self._rests(tool, t.source, f"{tool} after {t.source}"))
            ways.append(way)
            self.terms.append((pico, way))
        self.model.add(sum(ways) == self.used[tool])


def cheapest_price(view: GraphRevision, prices: PriceTable, problem: Problem, seconds: float = 900) -> int | None:
    """Picodollars of the cheapest plan of a run that has completed no effects; `None` when there is none."""
    program = _Program(view, prices, problem)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    solver.parameters.linearization_level = 2
    status = solver.solve(program.model)
    if status == cp_model.INFEASIBLE:
        return None
    assert status == cp_model.OPTIMAL, solver.status_name(status)
    return sum(pico for pico, var in program.terms if solver.value(var))
