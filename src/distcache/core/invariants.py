"""What must hold between the machines after every event."""

from .authorities import KEY
from .blobs import BlobState
from .exchanges import ExchangeState
from .fills import FillState
from .grants import ProbeState
from .oci import Content
from .pings import PingState
from .pull import Ping, Probing
from .state import Relay, State
from .tags import TagState

IN_FLIGHT = (FillState.REQUESTING, FillState.STREAMING, FillState.VERIFYING)


def check(state: State) -> None:
    """Raises AssertionError naming what does not hold."""
    assert not state.woken, state.woken
    _accounting(state)
    _exchanges(state)
    _owners(state)
    _references(state)


def _accounting(state: State) -> None:
    blobs = state.blobs
    assert len(state.seen) <= state.limits.seen, len(state.seen)
    assert state.filled.keys() <= blobs.keys()
    assert len(state.filled) <= state.limits.filled
    assert len(state.answers) <= state.limits.answers
    assert state.stored == sum(b.size for b in blobs.values())
    assert state.doomed == sum(b.size for b in blobs.values() if b.state is BlobState.DOOMED)
    assert state.used.keys() == blobs.keys()
    assert state.readers.keys() <= blobs.keys()
    for digest, blob in blobs.items():
        reading = [
            n
            for n, x in state.exchanges.items()
            if x.reading == digest and x.state is not ExchangeState.WAITING
        ]
        assert state.readers.get(digest, 0) == len(reading), (digest, reading)
        assert not reading or blob.state is BlobState.STORED, ("deleted while read", digest)


def _exchanges(state: State) -> None:
    for number, x in state.exchanges.items():
        assert (x.state is ExchangeState.SENDING) == (x.credit is not None), (number, x)
        waiting = x.state is ExchangeState.WAITING
        assert waiting == (("answer", number) in state.deadlines), (number, x)
        if waiting:
            assert x.on is not None, (number, x)
        if x.on is None:
            continue
        match x.on:
            case Probing():
                assert number in state.probes[x.on].waiters, (number, x)
            case Ping():
                assert number in state.pings[x.on].waiters, (number, x)
            case Content() | Relay():
                assert number in state.fills[x.on].readers, (number, x)
            case _:
                assert number in state.tags[x.on].waiters, (number, x)


def _owners(state: State) -> None:
    """Each call has an owner that wants it, each owner that waits for upstream has a call."""
    resting = {p for p, probe in state.probes.items() if probe.state is ProbeState.BACKOFF}
    wanted: set[object] = set(state.probes.keys() - resting)
    wanted |= {r for r, tag in state.tags.items() if tag.state is TagState.REVALIDATING}
    wanted |= {p for p, greeting in state.pings.items() if greeting.state is PingState.ASKED}
    wanted |= {key for key, fill in state.fills.items() if fill.state in IN_FLIGHT}
    assert wanted == set(state.calls), wanted ^ set(state.calls)
    assert set(state.fetches.values()) <= set(state.calls)
    assert len(set(state.fetches.values())) == len(state.fetches), "two fetches for one owner"
    for key, fill in state.fills.items():
        backing_off = (key, "retry") in state.deadlines
        assert (fill.state is FillState.BACKOFF) == backing_off, (key, fill)
        assert fill.size is None or fill.have <= fill.size, (key, fill)
        for number in fill.readers:
            assert state.exchanges[number].on == key, (key, number)
    for asked, probe in state.probes.items():
        assert all(state.exchanges[n].on == asked for n in probe.waiters), (asked, probe)
        assert (asked in resting) == ((asked, "retry") in state.deadlines), (asked, probe)
        assert bool(probe.waiters) != ((asked, "linger") in state.deadlines), (asked, probe)


def _references(state: State) -> None:
    for reference, tag in state.tags.items():
        assert all(state.exchanges[n].on == reference for n in tag.waiters), (reference, tag)
        assert not tag.waiters or tag.state is TagState.REVALIDATING, (reference, tag)
        if tag.descriptor is not None:
            assert reference in state.tags_of[tag.descriptor.content.digest], reference
    for digest, references in state.tags_of.items():
        assert references, digest
        for reference in references:
            descriptor = state.tags[reference].descriptor
            assert descriptor is not None, reference
            assert descriptor.content.digest == digest, reference
    for name, accepted in state.authorities.items():
        assert (KEY, name) in state.deadlines, name
        assert all(r.repository.authority == name for r in accepted.references), name
    for content, holders in state.grants.items():
        own = {holder.authority for holder in holders} - {None}
        assert own <= state.authorities.keys(), (content, own)
        blob = state.blobs[content.digest]
        assert blob.state is BlobState.STORED, content
