"""What an adapter may be asked to do for a client's connection; see `dialogue`."""

from enum import Enum

from attrs import define


class Pause(Enum):
    BYTES = "bytes"
    WORD = "word"
    LINGER = "linger"
    END = "end"


@define(eq=False)
class SendFile:
    """`before` and then bytes `start` up to `stop` of the file: they may leave together."""

    before: bytes
    fd: int
    start: int
    stop: int


Parts = tuple[bytes, bytes]
"""Bytes to be written one behind the other, together. Neither is empty."""

Step = bytes | SendFile | Pause
