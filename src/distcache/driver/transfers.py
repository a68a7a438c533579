"""Upstream requests under way, the half that both event loops share.

An adapter does the networking and says here what came of it; from here the core hears it.
Each request ends in exactly one terminal event, whatever is said twice or in vain.
"""

from collections.abc import Callable, Sequence
from time import perf_counter

from attrs import define, field, frozen

from ..core.effects import Medium, UpstreamRequest
from ..core.events import (
    BodySpooled,
    Cause,
    Event,
    FetchEnded,
    FetchFailed,
    HeadReceived,
    Held,
    StoreFault,
    TokenGranted,
    TokenRefused,
    UpstreamHead,
)
from ..core.oci import Content, Digest, Document, TagRef, TagsRef
from ..core.pull import Ping
from ..settings import UpstreamTimeouts
from ..store import Body, Data, FileSpool, MemorySpool, Store, StoreError, TooLarge, WindowSpool
from ..wire import challenge, upstream
from ..wire.headers import Headers, values
from ..wire.oci_json import parse_listing, parse_manifest
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from ..wire.whole import Whole
from .exchange import Exchange
from .sources import OpenSpool
from .tracing import TraceSpan, end_fetch

TOKEN_LIMIT = 1024 * 1024
"""Bytes of a token service's answer; tokens themselves pass 16 KiB at cloud registries."""

REST = 64 * 1024
"""Bytes of an unwanted rest that are read to keep the connection: error bodies, redirects'
pages. With more to come a new connection is cheaper."""

QUICK = 64 * 1024
"""Bytes of a document that are parsed where they are; a larger one goes to a thread."""


class CrossedError(Exception):
    """Bytes came that do not join what is there: upstream sends another part than it said."""


@frozen
class Concluded:
    """What `FetchEnded` says of a body."""

    digest: Digest | None = None
    document: Document | None = None


@define(eq=False)
class Transfer:
    """One Fetch. `stop` is set by the adapter while it waits for the network: it makes the
    waiting end. `now` is the core's clock."""

    fetch: int
    site: UpstreamSite
    sent: HttpRequest
    timeouts: UpstreamTimeouts
    spool: OpenSpool | None
    _asked: UpstreamRequest
    _store: Store
    _feed: Callable[[Event], None]
    _now: Callable[[], float]
    _ended: Callable[["Transfer"], None]
    asker: Exchange | None = None
    """Whose pull it is made for, if anybody still waits."""
    _span: TraceSpan | None = None
    stop: Callable[[], None] | None = None
    cancelled: bool = False
    _over: bool = False
    _headers: Headers = ()
    _at: int = 0
    _parsed_from: int = 0
    _length: int | None = None
    begun: float = field(factory=perf_counter)
    result: str = ""
    """Upstream's status, or why there was none."""
    waited: float = 0.0
    """Seconds until then."""
    taken: int = 0
    """Bytes of body."""

    @property
    def way(self) -> UpstreamSite:
        """How to get where it is sent."""
        home = self.sent.url.host == self.site.url.host
        return self.site if home else self.site.stranger()

    @property
    def upstream(self) -> str:
        return self._asked.repository.upstream

    @property
    def kind(self) -> str:
        """`blob`, `manifest` or `listing`."""
        resource = self._asked.resource
        if isinstance(resource, Content):
            return resource.kind.value
        return "manifest" if isinstance(resource, TagRef) else "listing"

    @property
    def expected(self) -> int | None:
        """The body's length in bytes, where upstream's head has said it."""
        return self._length

    @property
    def light(self) -> bool:
        """Its answer may be given to `whole`: all head, a document, or the beginning of content
        that there is room for in memory."""
        spool = self.spool
        return spool is None or spool.spool.medium is Medium.MEMORY or spool.holdable

    @property
    def in_memory(self) -> bool:
        """Its bytes may be taken in at once, without a thread."""
        return self.spool is not None and self.spool.spool.medium is not Medium.FILE

    @property
    def heavy(self) -> bool:
        """`conclude` takes long enough to be done in a thread."""
        body = None if self.spool is None else self.spool.body
        return self.spool is not None and (
            body is None or (isinstance(body, MemorySpool) and body.length > QUICK)
        )

    @property
    def long_rest(self) -> bool:
        """More is announced than is worth reading for nothing."""
        return self._length is not None and self._length > REST

    def traced(self) -> None:
        """It is over."""
        if self._span is not None:
            end_fetch(self._span, self.result, self.taken)

    def cancel(self) -> None:
        """The core wants nothing more of it."""
        self.cancelled = True
        stop, self.stop = self.stop, None
        if stop is not None:
            stop()

    def head(self, status: int, headers: Headers) -> bool:
        """Upstream's head. True: its body is to be taken in."""
        head = upstream.head(self.site, self.sent, status, headers, self._now())
        return self._take_head(status, headers, head)

    def whole(self, answer: Whole) -> None:
        """All of upstream's answer, which is little: it is over by that."""
        head = answer.head(self.site, self.sent, self._now())
        if self._take_head(answer.status, answer.headers, head):
            if self.spool is not None and self.spool.body is None:
                self.spool.hold(len(answer.body))
            if answer.body:
                self.spooled(self.take((answer.body,)))
            self.end(self.conclude())
        elif not self.cancelled:
            self.end(self.conclude())
        else:
            self.fail(Cause.CANCELLED)

    def _take_head(self, status: int, headers: Headers, head: UpstreamHead) -> bool:
        self._headers = headers
        self.result, self.waited = str(status), perf_counter() - self.begun
        self._at = head.start
        if isinstance(self._asked.resource, TagsRef) and self.spool and self.spool.body:
            # A page goes on where the one before it ended; until the last one is in, it is
            # enough to look at each alone.
            self._at = self.spool.body.length
            self._parsed_from = self._at if head.next_page is not None else 0
        self._length = 0 if self.sent.method == "HEAD" else head.length
        self._feed(HeadReceived(self.fetch, head))
        return not self.cancelled and self.spool is not None

    def room(self) -> int | None:
        """Bytes that may be taken in now; None: any number."""
        body = None if self.spool is None else self.spool.body
        if not isinstance(body, WindowSpool):
            return None
        # What the window has already seen is passed over and takes no room.
        return body.room() + max(body.length - self._at, 0)

    def take(self, chunks: Sequence[bytes | memoryview]) -> int:
        """Spool the next bytes and return the spool's length. Blocks, for a file. StoreError,
        TooLarge, CrossedError: the transfer cannot go on."""
        body = self._body()
        length = body.length
        for chunk in chunks:
            length = self._join(body.write, chunk)
        return length

    def append(self, chunk: memoryview) -> None:
        """As `take`, for a file that is still to be settled: see `FileSpool.append`."""
        body = self._body()
        assert isinstance(body, FileSpool)
        self._join(body.append, chunk)

    @property
    def reach(self) -> int:
        """The spool's length."""
        body = None if self.spool is None else self.spool.body
        return 0 if body is None else body.length

    def settle(self) -> None:
        """See `FileSpool.settle`."""
        body = self._body()
        assert isinstance(body, FileSpool)
        body.settle()

    def spooled(self, length: int) -> None:
        if not self.cancelled:
            self._feed(BodySpooled(self.fetch, length))

    def conclude(self) -> Concluded:
        """The digest of all that was spooled, and the document in it. May block."""
        if self.spool is None:
            return Concluded()
        self.take(())
        body = self.spool.body
        assert body is not None
        if not isinstance(body, MemorySpool) or self.kind == "blob":
            return Concluded(body.digest())
        document = self._parse(body.read(self._parsed_from, body.length))
        return Concluded(body.digest(), document)

    def end(self, found: Concluded) -> None:
        self._terminate(FetchEnded(self.fetch, found.digest, found.document))

    def fail(self, cause: Cause) -> None:
        """Harmless when it has ended."""
        if not self.result:
            self.result, self.waited = cause.value, perf_counter() - self.begun
        body = None if self.spool is None else self.spool.body
        ours = cause in (Cause.NO_SPACE, Cause.STORE) and body is not None
        held = Held(body.length, body.digest()) if ours and body is not None else None
        cause = Cause.CANCELLED if self.cancelled else cause
        self._terminate(FetchFailed(self.fetch, cause, held))

    def _body(self) -> Body:
        assert self.spool is not None
        if self.spool.body is None:
            self.spool.body = self._store.create(self.spool.spool)
        return self.spool.body

    def _join(self, write: Callable[[int, Data], int], chunk: Data) -> int:
        try:
            length = write(self._at, chunk)
        except ValueError as error:
            raise CrossedError(str(error)) from error
        self._at += len(chunk)
        self.taken += len(chunk)
        return length

    def _terminate(self, event: FetchEnded | FetchFailed) -> None:
        if self._over:
            return
        self._over = True
        self._ended(self)
        # First the event: it may make the same spool's next transfer, or let go of the spool.
        self._feed(event)
        if self.spool is not None:
            self.spool.release()

    def _parse(self, body: bytes) -> Document | None:
        types = values(self._headers, b"content-type")
        content_type = types[0] if types else None
        resource = self._asked.resource
        assert not isinstance(resource, Ping), "its body is not wanted"
        if isinstance(resource, Content | TagRef):
            return parse_manifest(body, content_type)
        return parse_listing(body, content_type, resource)


@define(eq=False)
class TokenCall:
    """One AcquireToken."""

    request: int
    site: UpstreamSite
    sent: HttpRequest
    timeouts: UpstreamTimeouts
    _feed: Callable[[Event], None]
    _now: Callable[[], float]
    _over: bool = field(default=False, init=False)

    @property
    def way(self) -> UpstreamSite:
        """How to get where it is sent: who may see the password may see the certificate."""
        known = challenge.trusted(self.site.url, self.sent.url)
        return self.site if known else self.site.stranger()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        match challenge.token_answer(status, headers, body, self._now()):
            case challenge.Grant(token, expires_in):
                self._terminate(TokenGranted(self.request, token, expires_in))
            case challenge.Refusal(said, cause, retry_after):
                self._terminate(TokenRefused(self.request, said, cause, retry_after))

    def fail(self, cause: Cause) -> None:
        """Harmless when it has been answered."""
        self._terminate(TokenRefused(self.request, None, cause))

    def _terminate(self, event: TokenGranted | TokenRefused) -> None:
        if not self._over:
            self._over = True
            self._feed(event)


def cause_of(error: Exception) -> Cause | None:
    """Of an error that `take` or `conclude` raises; None: another."""
    match error:
        case StoreError(fault=StoreFault.NO_SPACE):
            return Cause.NO_SPACE
        case StoreError():
            return Cause.STORE
        case TooLarge():
            return Cause.TOO_LARGE
        case CrossedError():
            return Cause.CUT
    return None
