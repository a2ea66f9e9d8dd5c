"""A gateway in front of MCP servers: serves their tools under their own names, with healing. Needs the extra `mcp`."""

from .config import GatewayConfig, load_config
from .gateway import Gateway, explain_gateway, serve_gateway
from .look import LookServer

__all__ = ["Gateway", "GatewayConfig", "LookServer", "explain_gateway", "load_config", "serve_gateway"]
