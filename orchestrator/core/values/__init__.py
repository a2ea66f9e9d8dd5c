"""Values: whether they come back as they went in, and copies of them."""
