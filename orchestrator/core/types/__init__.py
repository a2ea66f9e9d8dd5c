"""Types of keys: annotations as schemas, and which types are assignable."""
