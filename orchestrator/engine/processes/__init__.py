"""Worker processes for sync tools with `isolation="process"`."""

from .pool import Processes
from .shared import in_process, processes

__all__ = ["Processes", "in_process", "processes"]
