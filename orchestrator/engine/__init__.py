"""Executes runs, from a goal to its outcome: planning, steps, lifecycle, background work, worker processes."""
