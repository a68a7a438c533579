"""How what is held came, and what upstream said last: for people to be told.

Nothing is decided by any of it. What upstream confirmed of a tag stands in the tag's own record;
here is what it said otherwise: that there is no such tag, that it would not, or could not, say,
and what it answered about content by digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .effects import Journal
from .inventory import Answer, FillDropped, Filled, FillStored
from .oci import Content, Digest, Repository, TagRef, Time
from .problems import NOT_ASKED, Failure, said
from .pull import ByDigest, Client, Ping

if TYPE_CHECKING:
    from .calls import Call
    from .state import State
    from .tags import Tag


def came(client: Client | None, call: Call, status: int | None, now: Time) -> Filled | None:
    """How the content of a call that has just ended came. None: nobody is known for whom."""
    if client is None:
        return None
    repository = call.repository
    if repository.authority is not None:
        # What a client showed for itself is nobody else's business.
        repository = Repository(repository.upstream, repository.name)
    return Filled(now, repository, client, call.mirror, status)


def keep(state: State, digest: Digest, filled: Filled) -> None:
    """It is stored now. What came first is forgotten first."""
    state.filled.pop(digest, None)
    state.filled[digest] = filled
    state.emit(Journal(FillStored(digest, filled)))
    _bound(state)


def restore(state: State, record: FillStored) -> None:
    if record.digest in state.blobs:
        state.filled[record.digest] = record.filled
        _bound(state)


def answered(state: State, call: Call, status: int, now: Time) -> None:
    """Upstream's head, as it counts."""
    if status not in (200, 304) or isinstance(call.resource, Content):
        _note(state, call, Answer(status, mirror=call.mirror), now)


def failed(state: State, call: Call, failure: Failure, now: Time) -> None:
    """Upstream said no, or nothing, or what is no good."""
    if failure is not NOT_ASKED:
        _note(state, call, Answer(failure.status, said(failure), call.mirror), now)


def last(
    state: State,
    named: TagRef | Content,
    repository: Repository,
    tag: Tag | None,
    filled: Filled | None,
) -> tuple[Time, Answer] | None:
    """Upstream's last answer about a tag, or about content under a repository. None: not known.
    `filled`: how it came, if it is held."""
    found: list[tuple[Time, Answer]] = []
    if isinstance(named, Content):
        other = state.answers.get(ByDigest(repository, named))
        if filled is not None and filled.repository == repository and filled.client is not None:
            found.append((filled.at, Answer(filled.status, mirror=filled.mirror)))
    else:
        other = state.answers.get(named)
        if tag is not None and tag.answer is not None:
            found.append((tag.checked, tag.answer))
    if other is not None:
        found.append(other)
    return max(found, key=lambda one: one[0], default=None)


def _note(state: State, call: Call, answer: Answer, now: Time) -> None:
    repository, asked = call.repository, call.resource
    # To a client's own authority something else may be told than to the cache.
    if isinstance(asked, Ping) or repository.authority is not None:
        return
    key = ByDigest(repository, asked) if isinstance(asked, Content) else asked
    state.answers.pop(key, None)
    state.answers[key] = now, answer
    if len(state.answers) > state.limits.answers:
        del state.answers[next(iter(state.answers))]


def _bound(state: State) -> None:
    while len(state.filled) > state.limits.filled:
        oldest = next(iter(state.filled))
        del state.filled[oldest]
        state.emit(Journal(FillDropped(oldest)))
