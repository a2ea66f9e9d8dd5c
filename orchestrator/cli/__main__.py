"""`python -m orchestrator.cli`: the same program for an environment without scripts."""

from . import main

main()
