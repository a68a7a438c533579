"""What is held and why: for who operates the cache. Looking changes nothing."""

from __future__ import annotations

import heapq

from attrs import frozen

from . import blobs, cooldown, eviction, fills, freshness, policy, provenance
from .inventory import Answer, Filled
from .oci import Content, Descriptor, Digest, Kind, Repository, TagRef, Time
from .quota import Reading
from .state import State
from .tags import TagState

Named = TagRef | Content
"""What can be pinned: a tag as every client takes it, or a digest."""


@frozen
class Image:
    """A tag and what it resolved to last. `size`: bytes of what is stored of it, everything it
    names included, of which `alone` no other manifest names; `used`: of its manifest."""

    reference: TagRef
    descriptor: Descriptor
    checked: Time
    held: bool
    size: int
    alone: int
    used: Time | None
    pinned: bool


@frozen
class Explanation:
    """What a pull of `reference` would meet now. Times are absolute; `fresh_until`: upstream is
    not asked before; `stale_until`: how long the answer is good while upstream fails.
    `known_since` and `held_back_until`: while the cool-down holds it back.
    `granted`: the repositories that may serve it. `filling`: bytes there, and bytes in all.
    `answered`: what upstream said last, and when; `filled`: how what is held came. None: not
    known. `reach`: of its upstream."""

    reference: TagRef | Content
    state: TagState
    descriptor: Descriptor | None
    checked: Time | None
    fresh_until: Time | None
    stale_until: Time | None
    absent_until: Time | None
    known_since: Time | None
    held_back_until: Time | None
    held: bool
    size: int | None
    used: Time | None
    pinned: bool
    granted: tuple[Repository, ...]
    filling: tuple[int, int | None] | None
    asking: bool
    answered: tuple[Time, Answer] | None
    filled: Filled | None
    reach: Reach


@frozen
class Stats:
    """Sizes in bytes. `readers`: pulls that read along with a fill."""

    stored_bytes: int
    stored_blobs: int
    fills: int
    readers: int
    exchanges: int
    tags: int
    pins: int


def stats(state: State) -> Stats:
    doomed = 0
    if state.doomed:
        doomed = sum(blob.state is blobs.BlobState.DOOMED for blob in state.blobs.values())
    return Stats(
        stored_bytes=state.stored - state.doomed,
        stored_blobs=len(state.blobs) - doomed,
        fills=len(state.fills),
        readers=sum(len(fill.readers) for fill in state.fills.values()),
        exchanges=len(state.exchanges),
        tags=len(state.tags),
        pins=len(state.pins),
    )


def images(state: State, latest: int | None = None) -> list[Image]:
    """Every tag that is known, in order of its name; or so many of those that are held, the last
    used first, for the price of a look at each tag."""
    known = [
        (reference, tag.descriptor)
        for reference, tag in state.tags.items()
        if isinstance(reference, TagRef) and not reference.accept and tag.descriptor is not None
    ]
    if latest is None:
        known.sort(key=lambda one: _by_name(one[0]))
    else:
        held = [one for one in known if blobs.stored(state, one[1].content) is not None]
        known = heapq.nlargest(latest, held, key=lambda one: state.used[one[1].content.digest])
    return [_image(state, reference, descriptor) for reference, descriptor in known]


def _by_name(reference: TagRef) -> tuple[str, str, str]:
    return reference.repository.upstream, reference.repository.name, reference.tag


def _image(state: State, reference: TagRef, descriptor: Descriptor) -> Image:
    digest = descriptor.content.digest
    blob = blobs.stored(state, descriptor.content)
    members = _members(state, digest)
    unit = set(eviction.unit(state, digest)) if blob is not None else set()
    return Image(
        reference,
        descriptor,
        state.tags[reference].checked,
        blob is not None,
        sum(state.blobs[member].size for member in members),
        sum(state.blobs[member].size for member in unit),
        None if blob is None else state.used[digest],
        reference in state.pins,
    )


def explain(state: State, named: Named, repository: Repository, now: Time) -> Explanation:
    """Of a tag, or of content by digest under a repository."""
    tag = state.tags.get(named) if isinstance(named, TagRef) else None
    policy = state.config.upstreams[repository.upstream]
    descriptor = checked = None
    if tag is not None and tag.descriptor is not None:
        descriptor, checked = tag.descriptor, tag.checked
    content = descriptor.content if descriptor is not None else None
    if isinstance(named, Content):
        content = named
    blob = None if content is None else blobs.stored(state, content)
    fill = None if content is None else state.fills.get(content)
    hold = None if content is None else cooldown.hold(state, repository, content, now)
    filled = None if blob is None or content is None else state.filled.get(content.digest)
    return Explanation(
        reference=named,
        state=_state(state, named, now),
        descriptor=descriptor,
        checked=checked,
        fresh_until=None if checked is None else checked + policy.tag_ttl,
        stale_until=None if checked is None else checked + policy.stale_if_error,
        absent_until=tag.until if tag is not None and tag.state is TagState.GONE else None,
        known_since=None if hold is None else hold.since,
        held_back_until=None if hold is None or hold.since is None else hold.until,
        held=blob is not None,
        size=None if blob is None else blob.size,
        used=None if blob is None or content is None else state.used[content.digest],
        pinned=named in state.pins
        or (content is not None and eviction.kept(state, content.digest)),
        granted=_holders(state, content),
        filling=None if fill is None else (fill.have, fill.size),
        asking=named in state.calls,
        answered=provenance.last(state, named, repository, tag, filled),
        filled=filled,
        reach=_reach(state, repository.upstream, now),
    )


def _state(state: State, named: Named, now: Time) -> TagState:
    """As a pull would find it; looking changes nothing."""
    if not isinstance(named, TagRef):
        return TagState.UNKNOWN
    tag = state.tags.get(named)
    if tag is None or (tag.state is TagState.GONE and tag.until <= now):
        return TagState.UNKNOWN
    ttl = state.config.upstreams[named.repository.upstream].tag_ttl
    if policy.immutable(state, named):
        return tag.state
    if tag.state is TagState.FRESH and not freshness.is_fresh(tag.checked, ttl, now):
        return TagState.STALE
    return tag.state


def _holders(state: State, content: Content | None) -> tuple[Repository, ...]:
    """Who may serve it, through manifests that name it too, at any depth."""
    if content is None:
        return ()
    found = set(state.grants.get(content, ()))
    for parent in blobs.parents(state, content.digest):
        found.update(_holders(state, Content(Kind.MANIFEST, parent)))
    return tuple(sorted(found, key=lambda r: (r.upstream, r.name)))


def _members(state: State, root: Digest) -> set[Digest]:
    """What is stored of an image: its manifest and all that it names, at any depth."""
    found: set[Digest] = set()
    waiting = [root]
    while waiting:
        digest = waiting.pop()
        blob = state.blobs.get(digest)
        if blob is None or digest in found:
            continue
        found.add(digest)
        waiting += (
            [child.content.digest for child in blob.document.children] if blob.document else []
        )
    return found


@frozen
class Filling:
    """A transfer under way: bytes there, bytes in all (None: not announced), clients that read
    along; `state` as its machine has it."""

    content: Content
    repository: Repository
    state: str
    have: int
    size: int | None
    readers: int


@frozen
class Reach:
    """How an upstream is to be reached: what is left of its quota, what of it there was, and
    until when it said not to be asked. It was told at `counted`, and is out of date, as all of
    the quota is there again, at `renewed` at the latest. `resting`: mirrors that are passed over
    now."""

    upstream: str
    remaining: int | None
    limit: int | None
    limited_until: Time | None
    resting: tuple[int, ...]
    counted: Time | None = None
    renewed: Time | None = None


def fillings(state: State) -> list[Filling]:
    return [
        Filling(
            fills.content_of(key),
            fill.repository,
            fill.state.value,
            fill.have,
            fill.size,
            len(fill.readers),
        )
        for key, fill in state.fills.items()
    ]


def reach(state: State, now: Time) -> list[Reach]:
    return [_reach(state, upstream, now) for upstream in state.config.upstreams]


def _reach(state: State, upstream: str, now: Time) -> Reach:
    reading = state.quotas.get(upstream) or Reading()
    quota = reading.quota
    if quota is not None and now >= reading.at + quota.window:
        quota = None
    resting = [i for (key, i), h in state.mirrors.items() if key == upstream and h.until > now]
    return Reach(
        upstream,
        None if quota is None else quota.remaining,
        None if quota is None else quota.limit,
        reading.until if reading.until > now else None,
        tuple(sorted(resting)),
        None if quota is None else reading.at,
        None if quota is None else reading.at + quota.window,
    )
