"""Sinks: whatever observes a run. Each is one small class with `on_event`."""
