"""What a client asks for, as a value."""

from enum import Enum

from attrs import frozen

from .oci import Content, Digest, Reference, Repository, Secret, Time


class Method(Enum):
    GET = "GET"
    HEAD = "HEAD"

    __hash__ = object.__hash__


@frozen
class Span:
    """Bytes `start` up to, not including, `stop`."""

    start: int
    stop: int


@frozen
class RangeSpec:
    """One range-spec of a Range header (RFC 9110 §14.1.1).

    `first` None: the last `last` bytes (suffix-range). `last` None: to the end."""

    first: int | None
    last: int | None


@frozen(cache_hash=True)
class ByDigest:
    """Content asked for by its digest, under a repository."""

    repository: Repository
    content: Content


@frozen(cache_hash=True)
class Probing:
    """What a probe asks: whether a repository has content. The method is the one that a pull of
    content which nobody holds would ask with: how long an answer takes tells nothing then."""

    repository: Repository
    content: Content
    method: Method


@frozen
class Catalog:
    """`/v2/_catalog`: the repositories of which something is held."""

    n: int | None = None
    last: str | None = None


@frozen
class Page:
    """The part of a list that is wanted: `n` of it at most, all after `last`."""

    n: int | None = None
    last: str | None = None


@frozen
class Ping:
    """`/v2/` of an upstream where the client's own authority counts."""

    repository: Repository
    """Its upstream, under no name."""


@frozen
class Authority:
    """What a client shows for itself. `name` stands for it everywhere and tells nothing;
    `authorization` is the header's value, None: nothing was shown. `expires`: when it says
    itself that it does."""

    name: str
    authorization: Secret | None = None
    expires: Time | None = None


@frozen
class Client:
    """Who asks, for people to be told: nothing is decided by it. `user`: as whom it has logged in;
    `agent`: what its program says that it is."""

    address: str
    user: str | None = None
    agent: str | None = None


@frozen(cache_hash=True)
class Pull:
    """One GET or HEAD. Entity-tags are kept as sent, quotes and `W/` included.

    `chunked` says whether this client understands chunked coding (HTTP/1.1); `namespace` is
    the `ns` query parameter, to be answered in OCI-Namespace. `authority` exactly where the
    target's repository carries one. `page` counts for a list of tags."""

    method: Method
    target: Reference | ByDigest | Catalog | Ping
    ranges: tuple[RangeSpec, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_range: str | None = None
    chunked: bool = True
    namespace: str | None = None
    authority: Authority | None = None
    page: Page = Page()


def digest_of_etag(tag: str) -> Digest:
    """The digest inside an entity-tag of ours; docker-registry's unquoted form is taken too."""
    return Digest(tag.removeprefix("W/").strip('"'))
