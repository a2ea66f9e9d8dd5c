"""Callables of users: signatures, options, how they are called and where they are written."""
