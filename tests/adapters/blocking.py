"""A client that says and hears exactly what the test wants, on a blocking socket."""

import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from attrs import Factory, define, frozen

from tests.adapters.scripted import PATIENCE


class Torn(Exception):
    """The answer ended before its end."""


class Reset(Torn):
    """By a reset."""


@frozen
class Answer:
    """Header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@define(eq=False)
class Client:
    """One connection, for requests one after the other."""

    socket: socket.socket
    _data: bytearray = Factory(bytearray)

    @classmethod
    def to(cls, port: int) -> "Client":
        return cls(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))

    @classmethod
    def at(cls, path: Path) -> "Client":
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.settimeout(PATIENCE)
        one.connect(str(path))
        return cls(one)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Closing will be a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def shut(self) -> None:
        """Say that nothing more will be said."""
        self.socket.shutdown(socket.SHUT_WR)

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, target: str, method: str = "GET", *fields: str) -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: cache", *fields, "", ""]
        self.say("\r\n".join(lines).encode())

    def head(self) -> Answer:
        """The head of the next answer. Torn: there is none."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        fields = (line.partition(":") for line in lines)
        return Answer(int(first.split()[1]), {n.lower(): v.strip() for n, _, v in fields})

    def take(self, count: int) -> bytes:
        while len(self._data) < count:
            self._more()
        data = bytes(self._data[:count])
        del self._data[:count]
        return data

    def answer(self, method: str = "GET") -> Answer:
        """A whole answer. Torn."""
        head = self.head()
        if method == "HEAD" or head.status == 304:
            return head
        if head.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._until(b"\r\n"), 16):
                body += self.take(size)
                self.take(2)
            self.take(2)
        else:
            body = self.take(int(head.headers["content-length"]))
        return Answer(head.status, head.headers, body)

    def get(self, target: str, method: str = "GET", *fields: str) -> Answer:
        self.ask(target, method, *fields)
        return self.answer(method)

    def end(self) -> bytes:
        """What still comes before the server closes."""
        while True:
            try:
                self._more()
            except Torn:
                return bytes(self._data)

    def silent(self) -> bool:
        """Nothing has come, and the server has not closed."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return False
        except BlockingIOError:
            return not self._data
        finally:
            self.socket.settimeout(PATIENCE)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            self._more()
        found = self.take(self._data.index(mark))
        self.take(len(mark))
        return found

    def _more(self) -> None:
        try:
            data = self.socket.recv(256 * 1024)
        except ConnectionResetError as error:
            raise Reset from error
        if not data:
            raise Torn
        self._data += data
