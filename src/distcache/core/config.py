"""Policies and limits the machine works with; where a number comes from stands beside it."""

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Upstream:
    """How one upstream is treated. Durations are in seconds.

    `basic` says that a user name and password are configured (the core never sees them).
    `mirrors`: how many other places are asked first. `immutable`: patterns
    (`*` any text, `?` one character) of tags that never move. `cool_down`: how long a manifest
    must have been known before it is served, 0: not at all; `cool_down_except`: patterns of
    the repositories where that does not count."""

    tag_ttl: float = 0.0
    stale_if_error: float = 720 * 3600.0
    negative_ttl: float = 10.0
    basic: bool = False
    mirrors: int = 0
    immutable: tuple[str, ...] = ()
    cool_down: float = 0.0
    cool_down_except: tuple[str, ...] = ()


@frozen
class Limits:
    """Bounds on what one pull or one fill may cost. Durations are in seconds."""

    answer: float = 28.0
    """Headers or an error by then: containerd 2.3 gives up on a mirror after 30 s."""
    attempts: int = 5
    """Tries of one fill without progress in between."""
    first_attempts: int = 3
    """Tries before upstream has said anything good."""
    backoff: float = 0.5
    """Before the second try; doubles each time."""
    backoff_max: float = 8.0
    challenges: int = 2
    """401 answers taken in a row: one for the first token, one for a token that ran out."""
    schemes: int = 10_000
    """Repositories of which is known how upstream wants to be asked."""
    questions: int = 10_000
    """Questions for referrers that have the same answer, which most have: none."""
    seen: int = 200_000
    """Manifests of which is known since when they are, for the cool-down: some 60 MB."""
    filled: int = 100_000
    """Stored contents of which is known how they came: some 20 MB."""
    answers: int = 10_000
    """Things asked for of which upstream's last answer is known."""
    redirects: int = 5
    token_margin: float = 5.0
    """A token this near its end is not used: it would run out on the way."""
    linger: float = 10.0
    """How long a fill that nobody reads and that is not far along waits for a reader, and a
    probe that nobody waits for for somebody who does."""
    used_resolution: float = 60.0
    """Uses closer together than this are journalled once."""
    authority: float = 300.0
    """How long upstream's acceptance of a client's own authority is remembered."""
    authorities: int = 10_000
    """So many are remembered at once."""
    greeting: float = 3600.0
    """How long an upstream's challenge is handed on before it is asked again."""
    quota_low: float = 0.1
    """The part of upstream's quota at which tag checks are spared."""
    quota_stretch: float = 300.0
    """Then a tag that was checked so recently is not checked again."""
    limited: float = 300.0
    """A longer Retry-After of a 429 is taken as this, where tags are concerned."""
    mirror_rest: float = 10.0
    """A mirror that failed is passed over for so long; doubles with each failure in a row."""
    mirror_rest_max: float = 600.0
    delete_retry: float = 60.0
    """After a failed deletion nothing is evicted for so long."""
    expiring: int = 256
    """About so many blobs that were idle for too long go in one step. A store that was off for
    longer than `ttl` expires as a whole: between two steps others have their turn."""
    manifest: int = 4 * 1024 * 1024
    """Largest manifest, bytes: what the distribution-spec asks registries to take."""
    listing: int = 32 * 1024 * 1024
    """Largest list, bytes: of tags with all its pages, of referrers one page."""
    pages: int = 1000
    """So many pages of a list of tags are followed: registries give 100 tags or more with each."""
    redispatch: int = 4
    """How often one pull may be decided anew because the ground shifted under it."""


@frozen
class Config:
    """`max_size` in bytes and `ttl` in seconds, None: no such eviction. `evict` False: nothing
    is ever deleted (the registry's `storage.delete.enabled: false`)."""

    upstreams: Mapping[str, Upstream]
    max_size: int | None = None
    ttl: float | None = 168 * 3600.0
    evict: bool = True
    offline: bool = False
    limits: Limits = field(factory=Limits)
