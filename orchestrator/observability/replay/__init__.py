"""Replay: recomputes the decisions of a run from its record."""
