"""What both event loops share: effects made real, sources, transfers, the clock. No awaiting."""

from .clock import Clock
from .driver import Driver
from .exchange import ClientEffect, Exchange, Send
from .ports import Shell, Upstreams
from .sources import Source
from .transfers import REST, TOKEN_LIMIT, TokenCall, Transfer, cause_of

__all__ = [
    "REST",
    "TOKEN_LIMIT",
    "ClientEffect",
    "Clock",
    "Driver",
    "Exchange",
    "Send",
    "Shell",
    "Source",
    "TokenCall",
    "Transfer",
    "Upstreams",
    "cause_of",
]
