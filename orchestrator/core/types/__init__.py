"""Types of keys: annotations as schemas, what fits where."""
