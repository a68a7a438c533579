"""The server on trio."""

from .serve import Server, open_server

__all__ = ["Server", "open_server"]
