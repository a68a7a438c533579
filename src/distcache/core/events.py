"""What the world did. A closed union of frozen values, past tense.

Identities: `exchange` numbers are the shell's, never used twice; `fetch` and `request`
numbers are the core's. Each Fetch ends in exactly one FetchEnded or FetchFailed, each
AcquireToken in one TokenGranted or TokenRefused, each SendBody in BodySent with the span's
end or in ClientClosed or SourceLost, each CommitBlob in BlobCommitted or StoreFailed, each
DeleteBlob in BlobDeleted or StoreFailed; also on cancellation and shutdown. Events for an
id the core has done with are ignored.
"""

from enum import Enum

from attrs import frozen

from .oci import Content, Digest, Document, Repository, TagRef
from .oci import Secret as Secret
from .pull import Client, Pull


class Cause(Enum):
    """Why an upstream request failed."""

    UNREACHABLE = "unreachable"
    """No connection: refused, no route, name unknown, TLS refused."""
    TIMEOUT = "timeout"
    """Nothing within the connect, headers or idle timeout."""
    CUT = "cut"
    """The connection ended, or broke the protocol, before the message did."""
    TOO_LARGE = "too-large"
    """A document beyond its limit."""
    NO_SPACE = "no-space"
    """The spool could not grow: disk, quota or inodes."""
    STORE = "store"
    """Any other fault of the store under a spool."""
    REFUSED = "refused"
    """Our own policy: a redirect or realm we may not follow, a missing credential."""
    CANCELLED = "cancelled"

    __hash__ = object.__hash__


class StoreOperation(Enum):
    COMMIT = "commit"
    DELETE = "delete"

    __hash__ = object.__hash__


class StoreFault(Enum):
    NO_SPACE = "no-space"
    READ_ONLY = "read-only"
    FAULT = "fault"

    __hash__ = object.__hash__


@frozen
class Challenge:
    """One challenge of a WWW-Authenticate header (RFC 9110 §11.6.1; the registry's token
    protocol). `realm`, `service`, `scope` as sent, the latter two empty when absent.
    `trusted`: the realm may be shown our password (same host or registrable domain, and no
    step down from https). `error` (RFC 6750 §3.1) is for a client that answers it itself."""

    bearer: bool
    realm: str
    service: str = ""
    scope: str = ""
    trusted: bool = True
    error: str = ""


@frozen
class Location:
    """Where a redirect leads, made absolute. `same_origin` as RFC 6454 has it; `allowed` is
    False when policy forbids going there (scheme, private address)."""

    url: str
    same_origin: bool
    allowed: bool = True


@frozen
class Quota:
    """What upstream allows in `window` seconds, and what is left of it."""

    limit: int
    remaining: int
    window: float


@frozen
class UpstreamHead:
    """The head of upstream's answer, as far as the core looks at it.

    `length` is Content-Length (None: not announced), `start` the first byte's offset in the
    whole content (from Content-Range, 0 without), `size` the whole content's size when known,
    `retry_after` seconds. `filters` is OCI-Filters-Applied; `next_page` where `Link: rel="next"`
    leads, not allowed when that is another origin."""

    status: int
    length: int | None = None
    start: int = 0
    size: int | None = None
    digest: Digest | None = None
    media_type: str | None = None
    etag: str | None = None
    challenges: tuple[Challenge, ...] = ()
    location: Location | None = None
    retry_after: int | None = None
    quota: Quota | None = None
    filters: str | None = None
    next_page: Location | None = None


@frozen
class PullRequested:
    """`client`: whose pull it is, where that is known."""

    exchange: int
    pull: Pull
    client: Client | None = None


@frozen
class BodySent:
    """Bytes up to, not including, `stop` of the content went out to the client."""

    exchange: int
    stop: int


@frozen
class ClientClosed:
    """The client left, or can no longer be written to."""

    exchange: int


@frozen
class SourceLost:
    """The source of a SendBody could not be read. `answered`: bytes of the answer are already
    out, so the connection is being cut; otherwise nothing has been sent, not even the head."""

    exchange: int
    digest: Digest
    answered: bool


@frozen
class HeadReceived:
    fetch: int
    head: UpstreamHead


@frozen
class BodySpooled:
    """The spool now holds `length` bytes, readable, from its start."""

    fetch: int
    length: int


@frozen
class FetchEnded:
    """The message is complete. `digest` is computed over everything the spool was given (by
    the spool's algorithm); `document` is the parsed body of a document spool, None when it
    is not a manifest or listing at all."""

    fetch: int
    digest: Digest | None = None
    document: Document | None = None


@frozen
class Held:
    """What a spool holds: `length` bytes from the start of the content, and their digest."""

    length: int
    digest: Digest


@frozen
class FetchFailed:
    """`held` comes with NO_SPACE and STORE: what the spool could still take in. None: it cannot
    be told, and nothing may be joined to what was sent from there."""

    fetch: int
    cause: Cause
    held: Held | None = None


@frozen
class TokenGranted:
    """`expires_in` seconds from now."""

    request: int
    token: Secret
    expires_in: float


@frozen
class TokenRefused:
    """`status` is the token service's answer, None when there was none (then `cause` says)."""

    request: int
    status: int | None
    cause: Cause | None = None
    retry_after: int | None = None


@frozen
class BlobCommitted:
    """The content is durable under its digest."""

    digest: Digest


@frozen
class BlobDeleted:
    digest: Digest
    freed: int


@frozen
class StoreFailed:
    operation: StoreOperation
    digest: Digest
    fault: StoreFault


@frozen
class Woke:
    """The time that `next_deadline()` named has come."""


@frozen
class Draining:
    """The server stops: no new work, running answers may end."""


@frozen
class Forgotten:
    """An operator wants upstream asked again for a tag, a repository, or content."""

    what: TagRef | Repository | Digest


@frozen
class Pinned:
    """An operator wants it kept, or (`keep` False) no longer."""

    what: TagRef | Content
    keep: bool


@frozen
class Pruned:
    """An operator wants what is least recently used gone, down to `max_size` bytes, and what has
    not been used for `idle` seconds. None: no such wish."""

    max_size: int | None
    idle: float | None


Event = (
    PullRequested
    | BodySent
    | ClientClosed
    | SourceLost
    | HeadReceived
    | BodySpooled
    | FetchEnded
    | FetchFailed
    | TokenGranted
    | TokenRefused
    | BlobCommitted
    | BlobDeleted
    | StoreFailed
    | Woke
    | Draining
    | Forgotten
    | Pinned
    | Pruned
)
