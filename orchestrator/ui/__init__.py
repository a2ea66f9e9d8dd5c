"""The viewer: a local web page over a store, which shows decisions with their reasons and takes answers for waiting
runs.

It needs the extra `ui`. `orchestrator ui` serves it; `create_app` returns it as an ASGI application for another server.
"""

from .app import create_app
from .serving import serve

__all__ = ["create_app", "serve"]
