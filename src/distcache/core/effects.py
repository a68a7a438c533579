"""What the shell must do. A closed union of frozen values, imperative.

The effects of one `handle` run in order. `Respond` and the first `SendBody` may be put on
the wire together; a shell opens the source before it sends the head, so that SourceLost can
be mended unseen. Store effects that name one digest take effect in the order emitted.
"""

from enum import Enum

from attrs import frozen

from .decision import Decision
from .events import Challenge, Held, Location
from .inventory import Record
from .oci import Content, Descriptor, Digest, Listed, Reference, Repository, Secret
from .pull import Method, Ping, Span


class Medium(Enum):
    """Where the body of a fetch is kept while it comes in."""

    FILE = "file"
    """A spool file of the store; readers follow it."""
    MEMORY = "memory"
    """A document: whole in memory, at most `limit` bytes, parsed at its end."""
    WINDOW = "window"
    """Nothing is kept (the store cannot): a bounded window in memory for one reader; the
    transfer waits while the window is full."""

    __hash__ = object.__hash__


@frozen
class Spool:
    """Where a fetch's body goes. The same spool named again continues where it is: bytes that
    it already holds are passed over, so that its digest covers what readers were sent.

    `digest` names the algorithm and is None for content whose digest is not known before
    (then sha256). `first`: no byte before it will be read (WINDOW). `after`: the first bytes must
    be these, which have gone out from another spool; if they are others, so must the digest be
    at the end, or what a client got from both would be called right (WINDOW)."""

    number: int
    medium: Medium
    digest: Digest | None = None
    first: int = 0
    limit: int | None = None
    after: Held | None = None


@frozen
class Stored:
    """Committed content."""

    digest: Digest


Source = Stored | Spool


@frozen
class Forwarded:
    """A client's own Authorization, as it sent it."""

    authorization: Secret


@frozen
class UpstreamRequest:
    """One request to an upstream. `location` replaces the resource's own URL after a redirect.
    `authorization`: a bearer token, True for the configured user name and password, a client's
    own, or None.
    `offset` > 0 asks for `Range: bytes=offset-`; `etag` goes into If-None-Match. `mirror`: the
    number of the upstream's mirror to ask, None: the upstream itself."""

    method: Method
    repository: Repository
    resource: Reference | Content | Ping
    location: Location | None = None
    authorization: Secret | Forwarded | bool | None = None
    offset: int = 0
    etag: str | None = None
    mirror: int | None = None


class Code(Enum):
    """OCI error codes (distribution-spec, Error Codes); UNAVAILABLE is CNCF Distribution's, for
    5xx answers, which the spec leaves open."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    DENIED = "DENIED"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    SIZE_INVALID = "SIZE_INVALID"
    TOOMANYREQUESTS = "TOOMANYREQUESTS"
    UNAUTHORIZED = "UNAUTHORIZED"
    UNAVAILABLE = "UNAVAILABLE"
    UNSUPPORTED = "UNSUPPORTED"

    __hash__ = object.__hash__


@frozen
class Problem:
    """An error answer: HTTP status, OCI code, a sentence for people. `challenge`: how to log in,
    where the client is to do that itself."""

    status: int
    code: Code
    message: str
    retry_after: int | None = None
    challenge: Challenge | None = None


@frozen(cache_hash=True)
class AnswerHead:
    """The head of an answer. `length` is Content-Length, None: chunked. `span` with `size` make
    Content-Range on 206; `size` alone on 416. `descriptor` gives digest, entity-tag and type.
    `listed` is what upstream said with a list whose bytes follow. `repositories` or `tags` are a
    catalog's or a list of tags' whole answer, with `more` when another page follows. `age` in
    seconds since upstream last confirmed it."""

    status: int
    decision: Decision
    length: int | None = 0
    descriptor: Descriptor | None = None
    size: int | None = None
    span: Span | None = None
    problem: Problem | None = None
    age: int | None = None
    listed: Listed | None = None
    repositories: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    more: bool = False


@frozen
class Respond:
    exchange: int
    head: AnswerHead


@frozen
class SendBody:
    """Send `span` of the source, then say BodySent(exchange, span.stop)."""

    exchange: int
    source: Source
    span: Span


@frozen
class Finish:
    """The answer is complete: end the message, the connection may serve another."""

    exchange: int


class Blame(Enum):
    """Whose fault it is that an answer cannot be completed."""

    UPSTREAM = "upstream"
    STORE = "store"
    CACHE = "cache"

    __hash__ = object.__hash__


@frozen
class Abort:
    """The answer cannot be completed: cut the connection, never end it politely. `reason`: a
    sentence for the operator, as the client cannot be told."""

    exchange: int
    reason: str
    blame: Blame


@frozen
class Fetch:
    """Ask upstream. Without `spool` a body is not wanted (HEAD, probes)."""

    fetch: int
    request: UpstreamRequest
    spool: Spool | None


@frozen
class CancelFetch:
    """Nothing more of this fetch is wanted. A shell may first read a short rest, so that the
    connection can be used again."""

    fetch: int


@frozen
class AcquireToken:
    """Ask the challenge's realm for a token for this upstream, or one of its mirrors; with the
    password only when `challenge.trusted`."""

    request: int
    upstream: str
    challenge: Challenge
    mirror: int | None = None


@frozen
class CommitBlob:
    """Make the spool's bytes durable under `digest`."""

    spool: Spool
    digest: Digest


@frozen
class DiscardSpool:
    """Nobody will read or commit this spool any more."""

    spool: Spool


@frozen
class DeleteBlob:
    digest: Digest


@frozen
class Journal:
    record: Record


class Level(Enum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    __hash__ = object.__hash__


@frozen
class Note:
    """Something an operator may want to read. `fields` are name and value pairs."""

    level: Level
    message: str
    fields: tuple[tuple[str, str | int], ...] = ()


Effect = (
    Respond
    | SendBody
    | Finish
    | Abort
    | Fetch
    | CancelFetch
    | AcquireToken
    | CommitBlob
    | DiscardSpool
    | DeleteBlob
    | Journal
    | Note
)
