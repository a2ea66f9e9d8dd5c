"""Observation of runs: sinks (small classes with `on_event`), tracing, replay, explanations, reports."""
