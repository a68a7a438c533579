"""A server's end of TLS in memory: bytes in, bytes out, for tests of a client's."""

import ssl
from contextlib import suppress
from pathlib import Path


def context(own: tuple[Path, Path]) -> ssl.SSLContext:
    """A server's, by its certificate and key."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(*own)
    return made


def trusting(own: tuple[Path, Path], newest: ssl.TLSVersion) -> ssl.SSLContext:
    """A client's, that believes this certificate."""
    made = ssl.create_default_context(cafile=own[0])
    made.maximum_version = newest
    return made


class Peer:
    """`within`: TLS that it is spoken inside of. After the handshake it sends session tickets, as
    servers do."""

    def __init__(self, context: ssl.SSLContext, within: "Peer | None" = None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._within = within
        self.got = b""
        """What the client has written."""

    def take(self, data: bytes) -> None:
        within = self._within
        if within is not None:
            within.take(data)
            data, within.got = within.got, b""
        self._in.write(data)
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
            while True:
                self.got += self._tls.read(65536)

    def give(self) -> bytes:
        data = self._out.read()
        if self._within is None:
            return data
        if data:
            self._within.write(data)
        return self._within.give()

    def write(self, data: bytes) -> None:
        while data:
            data = data[self._tls.write(data) :]

    def close(self) -> None:
        """With close_notify; the client's is not waited for."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()
