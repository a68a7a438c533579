"""The server on asyncio."""

from .serve import Server, open_server

__all__ = ["Server", "open_server"]
