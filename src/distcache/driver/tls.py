"""TLS to an upstream: bytes in, bytes out. It waits for nobody, and knows no socket.

Whoever has the socket gives what came to `take` and sends what `give` has, at any time: an answer
may call for something to be sent, and a question for something to be heard first.
"""

import ssl

RECORD = 16 * 1024
"""Bytes of a record at the most (RFC 8446 §5.1)."""


class Tls:
    """The client's end of one connection. `within`: TLS that it is spoken inside of, to a proxy.
    `name`: whom the certificate must be for.

    Many servers close without close_notify; HTTP's own framing tells a cut (RFC 9112 §9.8), so
    both ends are one here."""

    def __init__(
        self, context: ssl.SSLContext, name: str | None, within: "Tls | None" = None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._within = within
        self._held = b""
        self.over = False
        """Upstream sends no more, and all has been read."""

    def take(self, data: bytes) -> None:
        """What came, empty at the end. ssl.SSLError."""
        within = self._within
        if within is not None:
            within.take(data)
            data, ended = within.read(), within.over
        else:
            ended = not data
        if data:
            self._incoming.write(data)
        if ended:
            self._incoming.write_eof()

    def give(self) -> bytes:
        """What is to be sent now, nothing once upstream has ended: an alert would meet nobody.
        ssl.SSLError."""
        if self.over:
            return b""
        data, within = self._outgoing.read(), self._within
        if within is None:
            return data
        self._held += data
        self._held = self._held[within.write(self._held) :]
        return within.give()

    def shake(self) -> bool:
        """Whether hands have been shaken; if not, more must come first. ssl.SSLError: it is not
        to be trusted, or does not speak TLS."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def write(self, data: bytes) -> int:
        """Encrypt so many bytes of it: all, or more must come first. ssl.SSLError."""
        count = 0
        try:
            while count < len(data):
                count += self._tls.write(data[count : count + RECORD])
        except ssl.SSLWantReadError:
            pass
        return count

    def read_into(self, room: memoryview) -> int:
        """Bytes put there, as many as have come. 0: none, yet or any more. ssl.SSLError."""
        have = 0
        while have < len(room) and self.left and (more := self._read(room[have:])):
            have += more
        return have

    def read(self) -> bytes:
        """All that has come. ssl.SSLError."""
        pieces = bytearray()
        room = memoryview(bytearray(RECORD))
        while self.left and (count := self._read(room)):
            pieces += room[:count]
        return bytes(pieces)

    @property
    def left(self) -> bool:
        """Something has come that was not looked at."""
        if self.over:
            return False
        return bool(self._tls.pending() or self._incoming.pending or self._incoming.eof)

    def _read(self, room: memoryview) -> int:
        """Of one record. OpenSSL deals with those that only concern itself, session tickets and new
        keys, on the way."""
        try:
            count = int(self._tls.read(len(room), room))
        except ssl.SSLWantReadError:
            return 0
        except ssl.SSLEOFError:
            count = 0
        self.over = not count
        return count
