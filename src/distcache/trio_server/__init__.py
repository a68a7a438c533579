"""The server on trio."""

from .serve import open_server
from .server import Server

__all__ = ["Server", "open_server"]
