"""The Model Context Protocol, both ways: tools of MCP servers as tools of the graph, and goals as tools of one.

Needs the extra `mcp`.
"""

from .connection import Connection
from .goal_server import GoalServer
from .remote import McpServer, RemoteTool
from .serving import serve

__all__ = ["Connection", "GoalServer", "McpServer", "RemoteTool", "serve"]
