"""Complete hits that leave from their files, begun without a dialogue's steps: any one part of a
blob, and blobs that are too large for `shortcut`.

The request's head is known but for its Range, the file is open. The core is told when the client
begins to be a reader and when it ends, as of any other; all that goes by are the steps between.
That both ways give the same bytes, words and state is a property that the tests hold
(tests/test_shortcut.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from .. import log
from ..core import ranges
from ..core.events import BodySent, ClientClosed
from ..core.pull import ByDigest, Method
from ..core.values import evolve
from ..settings import Level
from ..store import StoreError
from ..wire import plain
from .exchange import Exchange, Send
from .shortcut import SMALL, Complete
from .steps import SendFile

if TYPE_CHECKING:
    from ..core.pull import Pull
    from .service import Service
    from .shortcut import Ready
    from .sources import Source


@define(eq=False)
class Stream(Complete):
    """One answer on its way. It ends with `over`, `left` or `lost`; another `left` is harmless."""

    _exchange: int
    _source: Source
    _service: Service
    _ended: bool = field(default=False, init=False)
    file: SendFile | None = field(default=None, init=False)
    """Where it leaves from, if not from memory."""
    cut: str = field(default="", init=False)
    """Why it was cut off, if it was."""

    @property
    def out(self) -> int:
        """Bytes of body that have left, as far as is known."""
        span = self.hit.span
        assert span is not None
        return 0 if self.file is None else self.file.start - span.start

    def over(self) -> None:
        """All of it is out."""
        span = self.hit.span
        assert span is not None
        self._end()
        self._service.driver.feed(BodySent(self._exchange, span.stop))

    def left(self) -> None:
        """The client has gone."""
        if not self._ended:
            self._end()
            self._service.driver.feed(ClientClosed(self._exchange))

    def lost(self, error: Exception) -> None:
        """The file cannot be read to its end. The connection is to be cut."""
        hit = self.hit
        assert hit.span is not None
        self._end()
        self.cut = f"the stored content cannot be read: {error}"
        fields: dict[str, log.Value] = {"digest": hit.digest, "error": str(error)}
        log.note(Level.ERROR, "content cannot be read", fields)
        exchange = Exchange(self._exchange, lambda: None)
        sending = Send(hit.source, hit.span, None)
        self._service.driver.lost(exchange, sending, answered=True)

    def _end(self) -> None:
        self._ended = True
        self._source.release()

    def tell(self, begun: float, client: str, service: Service) -> None:
        """Whoever listens that it is over."""
        self.line(begun, service).end(client, service.on_decision)


class Streaming:
    """Of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def find(self, data: bytes, subject: str | None) -> tuple[Stream, bytes | SendFile] | None:
        """As `Shortcut.find`, but the pull goes on until the stream ends."""
        found = plain.ranged(data)
        request, part = (plain.exactly(data), None) if found is None else found
        if request is None:
            return None
        service = self._service
        ready = service.shortcut.ready(request, subject)
        if ready is None or not isinstance(ready.pull.target, ByDigest):
            return None
        pull = ready.pull if part is None else _of_part(ready, part)
        if pull is None:
            return None
        driver = service.driver
        source = driver.find(ready.pull.target.content.digest)
        if source is None:
            return None
        begun = driver.begin(pull)
        if begun is None:
            source.release()
            return None
        exchange, hit = begun
        who, number = ready.who, ready.reading.id
        sent = hit.head.length or 0
        stream = Stream(request, pull, who, number, hit, sent, exchange, source, service)
        answer = self._answer(stream, source)
        if answer is None:
            stream.left()
            return None
        return stream, answer

    def _answer(self, stream: Stream, source: Source) -> bytes | SendFile | None:
        """None: its bytes are not to be had."""
        span = stream.hit.span
        # One without a body has gone by already.
        assert span is not None
        lane = plain.Lane(stream.request, b"")
        start = lane.answer(stream.hit.head, stream.pull, self._service.driver.clock.last)
        assert start is not None
        if source.fd is not None and span.stop - span.start > SMALL:
            stream.file = SendFile(start, source.fd, span.start, span.stop)
            return stream.file
        try:
            return start + source.read(span.start, span.stop)
        except StoreError:
            return None


def _of_part(ready: Ready, part: bytes) -> Pull | None:
    """None: it is not this Range that counts."""
    pull = ready.pull
    if ready.ranged or pull.method is not Method.GET:
        return None
    return evolve(pull, ranges=ranges.parse(part.decode()))
