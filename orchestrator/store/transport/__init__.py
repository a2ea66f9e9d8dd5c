"""Queue engines on PostgreSQL that carry ids of runs to workers."""
