"""The least shell around a core: one client's pull, upstream's answers as bytes, nothing stored.

It does what adapters do, with httpcore reading upstream's bytes from memory, and checks on the
way what the client is sent.
"""

from collections import deque
from collections.abc import Sequence
from hashlib import sha256

import httpcore
from attrs import define, field

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.cache import Cache
from distcache.core.config import Config, Limits, Upstream
from distcache.core.inventory import Inventory
from distcache.core.oci import Content, Digest, Document, Kind, TagRef, TagsRef
from distcache.core.pull import Ping, Pull
from distcache.driver.http import CAUSES
from distcache.wire import challenge, upstream
from distcache.wire.headers import Headers, values
from distcache.wire.oci_json import parse_listing, parse_manifest
from distcache.wire.outgoing import Credentials, HttpRequest
from distcache.wire.sites import UpstreamSite

START = 1_800_000_000.0
MANY = 500
"""Events; far more than one pull comes to."""

PAGES = 20
"""Of one list: the core's own limit is high, and each page takes time here."""


@define
class Shell:
    """`responses` are upstream's, and its token service's, one after the other; the last one
    again and again. `sent` is the body that the client got."""

    site: UpstreamSite
    login: Credentials
    responses: Sequence[bytes]
    pull: Pull
    head: fx.AnswerHead | None = None
    sent: bytes = b""
    complete: bool = False
    over: bool = False
    now: float = START
    spools: dict[int, bytes] = field(factory=dict)
    stored: dict[Digest, bytes] = field(factory=dict)
    events: deque[ev.Event] = field(factory=deque)
    asked: int = 0
    core: Cache = field(init=False)

    def __attrs_post_init__(self) -> None:
        limits = Limits(pages=PAGES)
        config = Config({self.site.key: Upstream(basic=True)}, limits=limits)
        self.core = Cache(config, Inventory())

    def run(self) -> None:
        """Until the client has its answer and nothing is under way."""
        self.events.append(ev.PullRequested(1, self.pull))
        for _ in range(MANY):
            deadline = self.core.next_deadline()
            if deadline is not None and (deadline <= self.now or not (self.events or self.over)):
                self.now = max(self.now, deadline)
                self.events.appendleft(ev.Woke())
            if not self.events:
                break
            event = self.events.popleft()
            for effect in self.core.handle(event, self.now):
                self.carry_out(effect)
            self.core.check()
        assert self.over, "the client is left without an end"
        assert not self.events, "it goes on for ever"

    def carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Respond(head=head):
                assert self.head is None
                self.head = head
            case fx.SendBody(exchange, source, span):
                piece = self.body(source)[span.start : span.stop]
                assert len(piece) == span.stop - span.start, effect
                self.sent += piece
                self.events.append(ev.BodySent(exchange, span.stop))
            case fx.Finish() | fx.Abort():
                assert not self.over
                self.over, self.complete = True, isinstance(effect, fx.Finish)
            case fx.Fetch():
                self.fetch(effect)
            case fx.AcquireToken(number, _, wanted):
                self.events.append(self.token(number, wanted))
            case fx.CommitBlob(spool, digest):
                body = self.spools[spool.number]
                assert digest == f"sha256:{sha256(body).hexdigest()}", "published what is wrong"
                self.stored[digest] = body
                self.events.append(ev.BlobCommitted(digest))
            case fx.DeleteBlob(digest):
                self.events.append(ev.BlobDeleted(digest, len(self.stored.pop(digest))))

    def body(self, source: fx.Source) -> bytes:
        if isinstance(source, fx.Stored):
            return self.stored[source.digest]
        return self.spools[source.number]

    def token(self, number: int, wanted: ev.Challenge) -> ev.Event:
        sent = challenge.token_request(wanted, self.login)
        answer = self.ask(sent)
        if isinstance(answer, ev.Cause):
            return ev.TokenRefused(number, None, answer)
        match challenge.token_answer(*answer, self.now):
            case challenge.Grant(token, expires_in):
                return ev.TokenGranted(number, token, expires_in)
            case challenge.Refusal(status, cause, retry_after):
                return ev.TokenRefused(number, status, cause, retry_after)

    def fetch(self, effect: fx.Fetch) -> None:
        """Cancelled or not, all that came is told: the core has to pass over what is late."""
        number, asked = effect.fetch, effect.request
        sent = upstream.request(self.site, asked, self.login)
        answer = self.ask(sent)
        if isinstance(answer, ev.Cause):
            self.events.append(ev.FetchFailed(number, answer))
            return
        status, headers, body = answer
        head = upstream.head(self.site, sent, status, headers, self.now)
        self.events.append(ev.HeadReceived(number, head))
        if effect.spool is None:
            self.events.append(ev.FetchEnded(number))
            return
        held = self.spools.setdefault(effect.spool.number, b"")
        limit = effect.spool.limit
        if head.start > len(held) or (limit is not None and len(held) + len(body) > limit):
            cause = ev.Cause.TOO_LARGE if head.start <= len(held) else ev.Cause.CUT
            self.events.append(ev.FetchFailed(number, cause))
            return
        before = len(held)
        # A page of a list goes on where the one before it ended.
        held += body[0 if isinstance(asked.resource, TagsRef) else before - head.start :]
        self.spools[effect.spool.number] = held
        digest = Digest(f"sha256:{sha256(held).hexdigest()}")
        document = parsed(asked, headers, held)
        for length in sorted({(before + len(held)) // 2, len(held)} - {before}):
            self.events.append(ev.BodySpooled(number, length))
        self.events.append(ev.FetchEnded(number, digest, document))

    def ask(self, sent: HttpRequest) -> tuple[int, Headers, bytes] | ev.Cause:
        """What httpcore makes of the next response."""
        said = [str(sent.url).encode(), sent.body, *(value for _, value in sent.headers)]
        secrets = (self.login.basic().encode(), self.login.password.encode())
        home = self.site.url.host
        own = sent.url.host == home or sent.url.host.endswith(f".{home}")
        assert own or not any(secret in text for text in said for secret in secrets), sent.url
        data = self.responses[min(self.asked, len(self.responses) - 1)]
        self.asked += 1
        # Without end upstream may go on, but not within the time that a client has.
        self.now += 1.0
        url = httpcore.URL(
            scheme=sent.url.scheme, host=sent.url.host, port=sent.url.port, target=sent.url.target
        )
        stream = httpcore.MockStream([data])
        try:
            with httpcore.HTTP11Connection(httpcore.Origin(*_origin(url)), stream) as connection:
                request = httpcore.Request(sent.method, url, headers=list(sent.headers))
                response = connection.handle_request(request)
                return response.status, response.headers, response.read()
        except Exception as error:
            return foreseen(error)


def foreseen(error: Exception) -> ev.Cause:
    causes = [cause for kinds, cause in CAUSES if isinstance(error, kinds)]
    assert causes, f"an error that nobody has foreseen: {error!r}"
    return causes[0]


def parsed(asked: fx.UpstreamRequest, headers: Headers, body: bytes) -> Document | None:
    types = values(headers, b"content-type")
    content_type = types[0] if types else None
    match asked.resource:
        case Content(Kind.BLOB) | Ping():
            return None
        case Content() | TagRef():
            return parse_manifest(body, content_type)
        case reference:
            return parse_listing(body, content_type, reference)


def _origin(url: httpcore.URL) -> tuple[bytes, bytes, int]:
    origin = url.origin
    return origin.scheme, origin.host, origin.port
