"""`python -m orchestrator.cli`: the same program for an environment without scripts."""

from orchestrator.cli import main

main()
