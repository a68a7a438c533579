"""One connection to the target: sockets, TLS, and whole answers read from them."""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from attrs import evolve, frozen

from ..configuration.tls import trusting
from ..wire.urls import Zone, zone
from .messages import (
    HEAD_LIMIT,
    Answer,
    Broken,
    Ended,
    Request,
    Stalled,
    framing,
    parse_head,
    read_chunks,
)


def whole_url(text: str) -> str:
    """The URL of a registry as people spell it: HOST or HOST:PORT alone is https, but http where
    that is this machine itself, as docker takes it. ValueError: it is none."""
    url = text
    try:
        if "://" not in text:
            host = urlsplit(f"//{text}").hostname or ""
            url = f"{'http' if zone(host) is Zone.LOOPBACK else 'https'}://{text}"
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", 0
    plain = url.isascii() and url.isprintable() and " " not in url
    named = _HOST.fullmatch(host) is not None and zone(host) is not Zone.NOWHERE
    named = named and port != 0 and not parts.netloc.endswith(":")
    if not plain or not named or parts.scheme not in ("http", "https"):
        raise ValueError(f"not a URL like http://127.0.0.1:5000, nor HOST:PORT: {text!r}")
    if parts.query or parts.fragment or parts.path.rstrip("/").endswith("/v2"):
        raise ValueError(f"leave out what follows the registry's own address: {text!r}")
    return parts.geturl()


_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?")


@frozen
class Address:
    """Where a registry is: `base` is the path in front of `/v2/`, empty for most."""

    host: str
    port: int
    tls: bool
    base: str = ""

    @classmethod
    def parse(cls, url: str) -> "Address":
        """ValueError: not an http or https URL."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http or https URL: {url}")
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        return cls(parts.hostname, port, tls, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """As it stands in Host."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.tls else 80) else f"{name}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"


class Connection:
    """`patience`: seconds without a byte after which the target is given up. `cacert`: whom to
    trust besides those whom this system does (PEM). OSError from the constructor: nobody listens
    there, or nobody to be trusted."""

    def __init__(self, address: Address, patience: float, cacert: Path | None = None) -> None:
        self.address = address
        self.used = False
        self.open = True
        self._input = bytearray()
        one = socket.create_connection((address.host, address.port), timeout=patience)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket = (
                trusting(cacert).wrap_socket(one, server_hostname=address.host)
                if address.tls
                else one
            )
        except BaseException:
            one.close()
            raise

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.open = False
        self._socket.close()

    def ask(self, request: Request) -> Answer:
        """Send `request`, read its answer whole. Raises Broken."""
        self.send(request.encode(self.address.authority))
        return self.read(request)

    def send(self, data: bytes) -> bool:
        """Bytes as they are; whether all went out. A peer that has closed already may have left
        an answer: what it said is told by `read`."""
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def read(self, request: Request) -> Answer:
        """The next answer, taken as the one to `request`. Raises Broken."""
        answer = self.read_head(request)
        length = framing(answer)
        if length == "chunked":
            body = read_chunks(self._line, self._exactly, request)
        elif isinstance(length, int):
            body = self._body(length, answer)
        else:
            body = self._rest()
        self.used = True
        if length is None or not answer.persistent:
            self.close()
        return evolve(answer, body=body, chunked=length == "chunked")

    def read_head(self, request: Request) -> Answer:
        """Up to the body, which stays unread; interim answers (1xx) are passed over."""
        while True:
            answer = parse_head(self._until(b"\r\n\r\n", request), request)
            if answer.status >= 200:
                return answer

    def silent(self) -> bool:
        """Whether the peer ends the connection, in whatever way, without another byte. Raises
        Stalled when it does nothing."""
        try:
            return not self._input and not self._receive()
        except Ended:
            return True

    def _line(self) -> bytes:
        return self._until(b"\r\n", None)

    def _until(self, mark: bytes, request: Request | None) -> bytes:
        while (at := self._input.find(mark)) < 0:
            if len(self._input) > HEAD_LIMIT:
                raise Broken("a head without end", request)
            if not self._receive(request):
                if self._input:
                    said = bytes(self._input[:80])
                    raise Broken(f"the connection ended after {said!r}", request)
                raise Ended("the connection ended without an answer", request)
        data = bytes(self._input[:at])
        del self._input[: at + len(mark)]
        return data

    def _exactly(self, count: int) -> bytes:
        while len(self._input) < count:
            if not self._receive():
                raise Broken(f"the body ended after {len(self._input)} of {count} bytes")
        data = bytes(self._input[:count])
        del self._input[:count]
        return data

    def _body(self, length: int, answer: Answer) -> bytes:
        try:
            return self._exactly(length)
        except Broken as broken:
            raise Broken(f"{broken}: {answer}", answer.request) from None

    def _rest(self) -> bytes:
        more = True
        while more:
            more = self._receive()
        data = bytes(self._input)
        self._input.clear()
        return data

    def _receive(self, request: Request | None = None) -> bool:
        """False at the end of the connection."""
        try:
            data = self._socket.recv(256 * 1024)
        except TimeoutError:
            raise Stalled(f"nothing came for {self._socket.gettimeout()} s", request) from None
        except OSError as error:
            self.open = False
            kind = Broken if self._input else Ended
            raise kind(f"the connection broke: {error}", request) from None
        self._input += data
        if not data:
            self.open = False
        return bool(data)
