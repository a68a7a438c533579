"""A client on trio that says and hears exactly what the test wants."""

from collections.abc import Mapping

import trio
from attrs import frozen


class Torn(Exception):
    """The answer ended before its end."""


@frozen
class Answer:
    """Header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Client:
    """One connection, for requests one after the other."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._data = b""

    async def say(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def ask(self, target: str, method: str = "GET", *fields: str) -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: cache", *fields, "", ""]
        await self.say("\r\n".join(lines).encode())

    async def head(self) -> Answer:
        """The head of the next answer. Torn: there is none."""
        head = await self._until(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        fields = (line.partition(":") for line in lines)
        return Answer(int(first.split()[1]), {n.lower(): v.strip() for n, _, v in fields})

    async def take(self, count: int) -> bytes:
        while len(self._data) < count:
            await self._more()
        data, self._data = self._data[:count], self._data[count:]
        return data

    async def answer(self, method: str = "GET") -> Answer:
        """A whole answer. Torn."""
        head = await self.head()
        if method == "HEAD" or head.status == 304:
            return head
        if head.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self._until(b"\r\n"), 16):
                body += await self.take(size)
                await self.take(2)
            await self.take(2)
        else:
            body = await self.take(int(head.headers["content-length"]))
        return Answer(head.status, head.headers, body)

    async def get(self, target: str, method: str = "GET", *fields: str) -> Answer:
        await self.ask(target, method, *fields)
        return await self.answer(method)

    async def end(self) -> bytes:
        """What still comes before the server closes."""
        while True:
            try:
                await self._more()
            except Torn:
                return self._data

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            await self._more()
        found, _, self._data = self._data.partition(mark)
        return found

    async def _more(self) -> None:
        try:
            data = await self.stream.receive_some(64 * 1024)
        except trio.BrokenResourceError as error:
            raise Torn from error
        if not data:
            raise Torn
        self._data += data


async def connect(port: int) -> Client:
    return Client(await trio.open_tcp_stream("127.0.0.1", port))
