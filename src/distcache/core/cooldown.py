"""The cool-down: what is too new is not served yet.

All that this cache can know of a manifest's age is since when it has known it under its
repository: upstream's own dates are whatever the publisher wrote. What a served manifest names
is as old as that manifest, and what is held when the policy begins is older than the policy.
"""

from datetime import datetime, timedelta

from attrs import frozen

from . import blobs, fills, policy
from .effects import Code, Journal, Level, Note, Problem
from .inventory import SeenDropped, SeenStored
from .oci import Content, Digest, Document, Kind, Repository, Time
from .state import State

BEFORE: Time = 0.0
"""Since when that is known which was held before the policy began."""

HELD_BACK = "a pull was held back by the cool-down"
"""What is noted of each; the metric counts these."""


@frozen
class Hold:
    """Known `since` then (None: not known yet), and not served before `until`."""

    since: Time | None
    until: Time


def period(state: State, repository: Repository) -> float:
    """How long what is new under `repository` is held back, in seconds; 0: not at all, as where
    the client's own authority counts: what one is shown tells nothing to another."""
    treatment = state.config.upstreams[repository.upstream]
    if not treatment.cool_down:
        return 0.0
    own = repository.authority is not None
    spared = own or policy.matches(treatment.cool_down_except, repository.name)
    return 0.0 if spared else treatment.cool_down


def see(state: State, repository: Repository, content: Content, now: Time) -> None:
    """Upstream has it under this repository: it is known from `now` on, with all that it is
    known to name."""
    key = (repository, content.digest)
    if content.kind is not Kind.MANIFEST or key in state.seen or not period(state, repository):
        return
    _remember(state, repository, content.digest, now)
    blob = blobs.stored(state, content)
    if blob is None:
        return
    assert blob.document is not None, "or it were no manifest"
    for child in blob.document.children:
        see(state, repository, child.content, now)


def hold(state: State, repository: Repository, content: Content, now: Time) -> Hold | None:
    """None: it may be served."""
    cool = period(state, repository)
    if not cool or content.kind is not Kind.MANIFEST:
        return None
    since = state.seen.get((repository, content.digest))
    until = (now if since is None else since) + cool
    return Hold(since, until) if now < until else None


def served(state: State, repository: Repository, digest: Digest, document: Document) -> None:
    """Clients will ask for the manifests that it names, which are not newer than itself."""
    since = state.seen.get((repository, digest))
    if since is None or not period(state, repository):
        return
    for child in document.children:
        if child.content.kind is Kind.MANIFEST:
            _remember(state, repository, child.content.digest, since)


def begin(state: State) -> None:
    """What is held, or comes, and is of unknown age was served before the policy."""
    upstreams = state.config.upstreams
    if not any(one.cool_down for one in upstreams.values()):
        return
    for content, holders in state.grants.items():
        for repository in sorted(holders, key=repr):
            if repository.upstream in upstreams:
                see(state, repository, content, BEFORE)
    for key, fill in state.fills.items():
        content = fills.content_of(key)
        # Of what upstream has not answered for it is not known that it is there.
        for repository in fill.granted if fill.status is not None else ():
            see(state, repository, content, BEFORE)
            if fill.document is not None:
                served(state, repository, content.digest, fill.document)


def note(state: State, repository: Repository, content: Content, held: Hold) -> None:
    """Tell the operator of a pull that did not get `content`."""
    fields = (
        ("upstream", repository.upstream),
        ("repository", repository.name),
        ("digest", content.digest),
        ("until", _spelt(held.until)),
    )
    state.emit(Note(Level.INFO, HELD_BACK, fields))


def problem(repository: Repository, content: Content, held: Hold) -> Problem:
    """The answer to a pull of what is held back."""
    since = "now" if held.since is None else _spelt(held.since)
    text = f"{repository.name}@{content.digest} is too new: known here since {since}"
    return Problem(403, Code.DENIED, f"{text}, served from {_spelt(held.until)} on (cool-down)")


def _remember(state: State, repository: Repository, digest: Digest, since: Time) -> None:
    """An earlier time counts. What was remembered first is forgotten first."""
    key = (repository, digest)
    if since >= state.seen.get(key, float("inf")):
        return
    state.seen[key] = since
    state.emit(Journal(SeenStored(repository, digest, since)))
    while len(state.seen) > state.limits.seen:
        oldest = next(iter(state.seen))
        del state.seen[oldest]
        state.emit(Journal(SeenDropped(*oldest)))


def _spelt(at: Time) -> str:
    """RFC 3339, in UTC."""
    return (datetime(1970, 1, 1) + timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%SZ")
