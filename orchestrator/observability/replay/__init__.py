"""Making the decisions of a run again from its record: what `orchestrator.replay` is built from."""
