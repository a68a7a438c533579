"""What both event loops share: effects made real, the talk with a client, sources, transfers,
the clock. No awaiting, but of what httpcore reads (`bodies`)."""

from .clock import Clock
from .dialogue import Dialogue
from .driver import Driver
from .exchange import ClientEffect, Exchange, Send
from .ports import Shell, Upstreams
from .service import Service
from .sources import Source
from .steps import Ending, Parts, Pause, SendFile, Step
from .telling import Decided, OnDecision
from .transfers import REST, TOKEN_LIMIT, TokenCall, Transfer, cause_of

__all__ = [
    "REST",
    "TOKEN_LIMIT",
    "ClientEffect",
    "Clock",
    "Decided",
    "Dialogue",
    "Driver",
    "Ending",
    "Exchange",
    "OnDecision",
    "Parts",
    "Pause",
    "Send",
    "SendFile",
    "Service",
    "Shell",
    "Source",
    "Step",
    "TokenCall",
    "Transfer",
    "Upstreams",
    "cause_of",
]
