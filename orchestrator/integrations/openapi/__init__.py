"""HTTP APIs as tools, from their OpenAPI description. Needs the extra `http`."""

from .tools import tools_from_openapi

__all__ = ["tools_from_openapi"]
