"""The viewer: a local web page over a store, to see what was decided and why, and to answer runs that wait.

It needs the extra `ui`. `orchestrator ui` serves it; `create_app` makes it a part of somebody's own server.
"""

from .app import create_app
from .serving import serve

__all__ = ["create_app", "serve"]
