"""Runs: what happens between a goal and its outcome."""
