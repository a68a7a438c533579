"""Clients' sockets, on any loop: one try of each operation, and what its errors mean.

They are non-blocking and tried first; a loop is asked only when there is nothing to read or no
room to write. Over TLS they are `ssl.SSLSocket`s: OpenSSL takes from the kernel one record at a
time and is asked for whole ones, so that what is left to read is always the kernel's to tell."""

import errno
import os
import socket
import ssl
import struct
from contextlib import suppress
from enum import Enum

from .steps import Parts, SendFile

READ = 64 * 1024
"""Bytes of one read: a whole header at its largest."""

PIECE = 2 * 1024 * 1024
"""Bytes given to the kernel at once, half of what a socket on Linux holds at its largest; between
pieces the others get their turn."""

TLS_PIECE = 256 * 1024
"""Bytes of a file that are read to be encrypted."""

LINGER = 2.0
"""Seconds that a client has to take the last answer and close: a socket closed with bytes
unread is reset, and the answer may be lost with it (RFC 9112 §9.6)."""

LINGER_READS = 64
"""Reads meanwhile: what the client sends in vain, up to 4 MiB."""

_NOT_TLS = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\nThis port speaks TLS: ask by https.\n"
)
_RESET = struct.pack("ii", 1, 0)
_CLIENT_LOST = (errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)


class GoneError(Exception):
    """The client left."""


class SlowError(GoneError):
    """The client has taken nothing for too long."""


class SourceError(Exception):
    """The file ended early or could not be read."""


class Want(Enum):
    """What a handshake waits for."""

    READ = "read"
    WRITE = "write"


def secure(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The server's side of TLS on it, before the handshake. GoneError, with the socket closed."""
    try:
        sock.setblocking(False)
        return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
    except (OSError, ValueError) as error:
        sock.close()
        raise GoneError from error


def shake_hands(sock: ssl.SSLSocket) -> Want | None:
    """None: it is done. GoneError: it cannot be."""
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        return Want.READ
    except ssl.SSLWantWriteError:
        return Want.WRITE
    except OSError as error:
        if getattr(error, "reason", None) == "HTTP_REQUEST":
            with suppress(OSError):
                socket.socket.send(sock, _NOT_TLS)
        raise GoneError from error
    return None


def receive(sock: socket.socket) -> bytes | None:
    """What is there. None: nothing yet; empty: the client sends no more. GoneError."""
    try:
        return sock.recv(READ)
    except (BlockingIOError, ssl.SSLWantReadError):
        return None
    except OSError as error:
        raise GoneError from error


def send(sock: socket.socket, data: bytes | memoryview, *, more: bool = False) -> int:
    """Bytes that went, 0: no room. `more` follows at once: they may leave together. GoneError."""
    try:
        return sock.send(data, socket.MSG_MORE if more and not _secured(sock) else 0)
    except (BlockingIOError, ssl.SSLWantWriteError):
        return 0
    except OSError as error:
        raise GoneError from error


def send_parts(sock: socket.socket, parts: Parts) -> bytes | memoryview:
    """Both in one write, without putting one behind the other in memory: what is left of them,
    for which there was no room. GoneError."""
    head, body = parts
    if _secured(sock):
        return head + body
    try:
        count = sock.sendmsg(parts)
    except BlockingIOError:
        count = 0
    except OSError as error:
        raise GoneError from error
    if count < len(head):
        return head[count:] + body
    return memoryview(body)[count - len(head) :]


def begin_file(sock: socket.socket, file: SendFile) -> bool:
    """As much of it as goes at once, the first piece at most; `file` becomes what is left. True:
    nothing. Over TLS all is left. GoneError, SourceError."""
    if _secured(sock):
        return False
    if file.before:
        # Not held back for the file, which is long: the client reads it meanwhile, and the file's
        # pages need not be cut anew behind it.
        file.before = file.before[send(sock, file.before) :]
    if file.before:
        return False
    file.start += send_file(sock, file.fd, file.start, file.stop)
    return file.start == file.stop


def send_file(sock: socket.socket, fd: int, start: int, stop: int) -> int:
    """At most PIECE bytes of a file; how many went, 0: no room. Not over TLS: see `read_file`.
    GoneError, SourceError."""
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


def read_file(fd: int, start: int, stop: int) -> bytes:
    """At most TLS_PIECE bytes of a file. SourceError."""
    try:
        data = os.pread(fd, min(TLS_PIECE, stop - start), start)
    except OSError as error:
        raise SourceError(str(error)) from error
    if not data:
        raise SourceError("it is shorter than it was")
    return data


def end(sock: socket.socket) -> None:
    """End our side. OSError: the client is gone."""
    _say_goodbye(sock)
    sock.shutdown(socket.SHUT_WR)


def close(sock: socket.socket, *, reset: bool) -> None:
    """`reset`: the client is to see an error, not an end."""
    if not reset:
        _say_goodbye(sock)
    elif sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def _say_goodbye(sock: socket.socket) -> None:
    """TLS has an end of its own, without which the end may be a stranger's (RFC 8446 §6.1)."""
    if isinstance(sock, ssl.SSLSocket):
        with suppress(OSError, ValueError):
            sock.unwrap()


def _secured(sock: socket.socket) -> bool:
    return isinstance(sock, ssl.SSLSocket)
