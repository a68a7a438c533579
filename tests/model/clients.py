"""What the World knows of its clients: what each asked, was promised, and got."""

from __future__ import annotations

from typing import NamedTuple

from distcache.core import effects as fx
from distcache.core.oci import Content, Digest, Reference, Repository
from distcache.core.pull import ByDigest, Catalog, Ping

from .scene import PULLS


class BrokenPromise(AssertionError):
    """The core did something that no environment excuses."""


class Promise(NamedTuple):
    """What a head promised of the body: the first byte, and how many if it said so."""

    body: bool
    first: int
    length: int | None
    size: int


class Client(NamedTuple):
    """What one exchange asked, was promised and got. `current`: what the tag was since it
    asked; `bad`: it was sent a byte that is wrong; `old`: the file it is being sent from is open,
    but no longer the one on disk; `agreed`: upstream accepted its authority meanwhile;
    `itself`: upstream itself, not a mirror, was asked for it (where there are mirrors)."""

    pull: str
    current: frozenset[Digest]
    head: Promise | None = None
    out: fx.SendBody | None = None
    pos: int | None = None
    bad: bool = False
    old: bool = False
    agreed: bool = False
    itself: bool = False


class Wish(NamedTuple):
    repository: Repository | None
    resource: Reference | Content | Ping | None


def wish(client: Client) -> Wish:
    """What upstream is asked on its behalf, where that is the very thing it asked for."""
    return WISHES[client.pull]


def _wish(name: str) -> Wish:
    target = PULLS[name].target
    if isinstance(target, Catalog):
        return Wish(None, None)
    resource = target.content if isinstance(target, ByDigest) else target
    return Wish(target.repository, resource)


WISHES = {name: _wish(name) for name in PULLS}
