"""What an adapter may be asked to do for a client's connection; see `dialogue`."""

from enum import Enum

from attrs import define


class Pause(Enum):
    BYTES = "bytes"
    WORD = "word"
    LINGER = "linger"
    END = "end"


class Ending(Enum):
    """Why a connection is closed, where its dialogue has not said that it is to be."""

    GONE = "client"
    """The client went away."""
    SLOW = "timeout"
    """It took nothing for too long."""
    SHUTDOWN = "shutdown"
    FAILED = "cache"
    """An error that nobody foresaw."""


@define(eq=False)
class SendFile:
    """`before` and then bytes `start` up to `stop` of the file: they may leave together. `start`
    moves on with what has left."""

    before: bytes
    fd: int
    start: int
    stop: int


Parts = tuple[bytes, bytes]
"""Bytes to be written one behind the other, together. Neither is empty."""

Step = bytes | SendFile | Pause
