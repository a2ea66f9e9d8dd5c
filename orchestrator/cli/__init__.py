"""The command line: `orchestrator run`, `plan`, `why` and the rest. `main` is the entry point of the program."""

import sys

from orchestrator.core.process.interrupt import imports_done


def main() -> None:
    """Run the command line on the arguments of this process, and exit with its status."""
    try:
        from .app import invoke

        imports_done()
        status = invoke(sys.argv[1:])
    except KeyboardInterrupt:  # while the program was still being loaded
        status = 130
    sys.exit(status)


__all__ = ["main"]
