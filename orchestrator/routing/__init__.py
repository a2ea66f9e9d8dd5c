"""Routing: finds the cheapest feasible plan from the state of a run to its goal. Pure: no I/O, no clock, no await."""

from .planner import Planner

__all__ = ["Planner"]
