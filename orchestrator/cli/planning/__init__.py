"""Commands that look at the graph before anything is run: `plan`, `graph`, `analyse`, `rehearse`."""
