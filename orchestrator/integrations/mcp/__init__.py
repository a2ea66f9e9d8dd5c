"""The Model Context Protocol as client and server: tools of MCP servers in the graph, and goals as tools of a server.

Needs the extra `mcp`.
"""

from .connection import Connection
from .goal_server import GoalServer
from .remote import McpServer, RemoteTool
from .serving import serve

__all__ = ["Connection", "GoalServer", "McpServer", "RemoteTool", "serve"]
