"""Routing: from the state of a run to its goal by the cheapest feasible plan. Pure: no I/O, no clock, no await."""

from .planner import Planner

__all__ = ["Planner"]
