"""Complete hits that leave from their files, begun without a dialogue's steps: any one part of a
blob, and blobs that are too large for `shortcut`.

The request's head is known but for its Range, the file is open. What goes to the kernel at once is
over when it has begun: nothing can come between. Only of what lasts the core is told, when the
client begins to be a reader and when it ends, as of any other; all that goes by are the steps
between. That both ways give the same bytes, words and state is a property that the tests hold
(tests/test_shortcut.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from .. import log
from ..core import ranges
from ..core.events import BodySent, ClientClosed
from ..core.hits import head_of
from ..core.pull import ByDigest
from ..core.values import evolve
from ..settings import Level
from ..store import StoreError
from ..wire import plain
from .exchange import Exchange, Send
from .shortcut import SMALL, Complete
from .steps import SendFile

if TYPE_CHECKING:
    from ..core.effects import AnswerHead
    from ..core.hits import Hit
    from ..core.oci import Time
    from ..core.pull import Pull, RangeSpec, Span
    from .service import Service
    from .shortcut import Ready
    from .sources import Source


@define(eq=False)
class Stream(Complete):
    """One answer on its way, of `span` because of `specs`. It ends with `over`, `left` or `lost`;
    another `left` is harmless."""

    specs: tuple[RangeSpec, ...]
    span: Span
    _at: Time
    _source: Source
    _service: Service
    _exchange: int | None = field(default=None, init=False)
    """The core's number of it, if it knows of it."""
    _ended: bool = field(default=False, init=False)
    file: SendFile | None = field(default=None, init=False)
    """Where it leaves from, if not from memory."""
    cut: str = field(default="", init=False)
    """Why it was cut off, if it was."""

    @property
    def asked(self) -> Pull:
        return evolve(self.pull, ranges=self.specs) if self.specs else self.pull

    @property
    def head(self) -> AnswerHead:
        return head_of(self.hit, self.span) if self.specs else self.hit.head

    @property
    def out(self) -> int:
        """Bytes of body that have left, as far as is known."""
        return 0 if self.file is None else self.file.start - self.span.start

    def lasts(self) -> None:
        """Not all of it is out at once: nothing may be evicted under it. Nothing has happened
        since it was found."""
        pull = self.asked if self.specs else self.pull
        self._exchange = self._service.driver.begin(pull, self._at)

    def over(self) -> None:
        """All of it is out."""
        self._end()
        if self._exchange is not None:
            self._service.driver.feed(BodySent(self._exchange, self.span.stop))

    def left(self) -> None:
        """The client has gone."""
        if not self._ended:
            self._end()
            if self._exchange is not None:
                self._service.driver.feed(ClientClosed(self._exchange))

    def lost(self, error: Exception) -> None:
        """The file cannot be read to its end. The connection is to be cut."""
        if self._exchange is None:
            self.lasts()
        assert self._exchange is not None
        hit = self.hit
        self._end()
        self.cut = f"the stored content cannot be read: {error}"
        fields: dict[str, log.Value] = {"digest": hit.digest, "error": str(error)}
        log.note(Level.ERROR, "content cannot be read", fields)
        exchange = Exchange(self._exchange, lambda: None)
        self._service.driver.lost(exchange, Send(hit.source, self.span, None), answered=True)

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
        """As `Shortcut.find`; a SendFile may have to go on: see `Stream.lasts`."""
        found = plain.ranged(data)
        request, said = (plain.exactly(data), b"") if found is None else found
        if request is None:
            return None
        service = self._service
        ready = service.shortcut.ready(request, subject)
        if ready is None:
            return None
        pull = ready.pull
        target = pull.target
        if not isinstance(target, ByDigest):
            return None
        specs = pull.ranges
        if said:
            # Another Range beside it would count, or none.
            specs = () if ready.ranged else ranges.parse(said.decode())
            if not specs:
                return None
        driver = service.driver
        source = driver.find(target.content.digest)
        if source is None:
            return None
        now = driver.clock.now()
        known = driver.part(pull, specs, now) if specs else _all(driver.whole(pull, now))
        if known is None:
            source.release()
            return None
        hit, span = known
        start = _start(ready, hit, span if specs else None, now)
        who, name, length = ready.who, ready.reading.id, span.stop - span.start
        stream = Stream(request, pull, who, name, hit, length, specs, span, now, source, service)
        if source.fd is not None and length > SMALL:
            stream.file = SendFile(start, source.fd, span.start, span.stop)
            return stream, stream.file
        try:
            return stream, start + source.read(span.start, span.stop)
        except StoreError:
            source.release()
            return None


def _all(hit: Hit | None) -> tuple[Hit, Span] | None:
    # One without a body has gone by already.
    return None if hit is None or hit.span is None else (hit, hit.span)


def _start(ready: Ready, hit: Hit, part: Span | None, now: Time) -> bytes:
    request, pull = ready.reading.request, ready.pull
    if part is None:
        start = plain.Lane(request, b"").answer(hit.head, pull, now)
        assert start is not None
        return start
    known = ready.frame
    if known is None or known[0] is not hit:
        known = ready.frame = hit, plain.frame(request, head_of(hit, part), pull, now)
    return known[1].head(part, now)
