"""Clients' sockets, on any loop: one try of each operation, and what its errors mean.

They are non-blocking and tried first; a loop is asked only when there is nothing to read or no
room to write."""

import errno
import os
import socket
import struct

READ = 64 * 1024
"""Bytes of one read: a whole header at its largest."""

PIECE = 1024 * 1024
"""Bytes given to the kernel at once; between pieces the others get their turn."""

LINGER = 2.0
"""Seconds that a client has to take the last answer and close: a socket closed with bytes
unread is reset, and the answer may be lost with it (RFC 9112 §9.6)."""

LINGER_READS = 64
"""Reads meanwhile: what the client sends in vain, up to 4 MiB."""

_RESET = struct.pack("ii", 1, 0)
_CLIENT_LOST = (errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)


class GoneError(Exception):
    """The client left, or does not take what it asked for."""


class SourceError(Exception):
    """The file ended early or could not be read."""


def receive(sock: socket.socket) -> bytes | None:
    """What is there. None: nothing yet; empty: the client sends no more. GoneError."""
    try:
        return sock.recv(READ)
    except BlockingIOError:
        return None
    except OSError as error:
        raise GoneError from error


def send(sock: socket.socket, data: bytes | memoryview, *, more: bool = False) -> int:
    """Bytes that went, 0: no room. `more` follows at once: they may leave together. GoneError."""
    try:
        return sock.send(data, socket.MSG_MORE if more else 0)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise GoneError from error


def send_file(sock: socket.socket, fd: int, start: int, stop: int) -> int:
    """At most PIECE bytes of a file; how many went, 0: no room. GoneError, SourceError."""
    try:
        count = os.sendfile(sock.fileno(), fd, start, min(PIECE, stop - start))
    except BlockingIOError:
        return 0
    except OSError as error:
        if isinstance(error, ConnectionError) or error.errno in _CLIENT_LOST:
            raise GoneError from error
        raise SourceError(str(error)) from error
    if not count:
        raise SourceError("it is shorter than it was")
    return count


def close(sock: socket.socket, *, reset: bool) -> None:
    """`reset`: the client is to see an error, not an end."""
    if reset and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
