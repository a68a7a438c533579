"""Whose pull a request to upstream is made for, and the id that both are known by.

One id goes through all logs between a client and a registry: the client's own X-Request-Id when
it is sane, else one of ours. It is made when a log or an upstream wants it: most pulls need none.
"""

import itertools
import re
import secrets
from collections.abc import Mapping

from ..core.effects import UpstreamRequest
from ..core.oci import Content, Reference, Repository
from ..core.pull import ByDigest, Catalog, Ping
from ..wire.headers import Headers, only
from ..wire.memo import Memo
from .exchange import Asker, Exchange

FIELD = b"X-Request-Id"

REMEMBERED = 1024
"""Things asked of upstream of which it is remembered who asked first: retries are theirs."""

Wanted = tuple[Repository, Reference | Content | Ping]

_SANE = re.compile(r"[A-Za-z0-9_./:@+-]{1,128}")
"""What needs no quotes in a log and fits the ids that are in use: UUIDs, ULIDs, trace ids."""

_PRODUCT = re.compile(r"[A-Za-z0-9_.+-]{1,40}")

_PREFIX = secrets.token_hex(8)
_numbers = itertools.count(1)


def given_id(headers: Headers) -> str:
    """That of the client; empty when it has none that can be passed on."""
    found = only(headers, FIELD.lower())
    return found if found is not None and _SANE.fullmatch(found) else ""


def agent_of(headers: Headers) -> str | None:
    """What the client's program says that it is (RFC 9110 §10.1.5), without its version."""
    found = _PRODUCT.match(only(headers, b"user-agent") or "")
    return None if found is None else found[0]


def new_id() -> str:
    """Unlike all others, of this process and of any other."""
    return f"{_PREFIX}{next(_numbers):08x}"


class Askers:
    """Knows for whom a request to upstream is made, of several the first who asked for it."""

    def __init__(self) -> None:
        self._first: Memo[Wanted, int] = Memo(REMEMBERED)

    def of(
        self, asked: UpstreamRequest, number: int | None, exchanges: Mapping[int, Exchange]
    ) -> Exchange | None:
        """`number`: the exchange because of which it is made, where that is known. None: nobody
        waits for it any more."""
        wanted = asked.repository, asked.resource
        if number is None:
            number = next((n for n, x in exchanges.items() if _asks(x.asker, wanted)), None)
        if number is None:
            number = self._first.get(wanted)
        if number is None or (found := exchanges.get(number)) is None:
            return None
        self._first.put(wanted, number)
        return found


def _asks(asker: Asker | None, wanted: Wanted) -> bool:
    target = None if asker is None or asker.pull is None else asker.pull.target
    if target is None or isinstance(target, Catalog) or target.repository != wanted[0]:
        return False
    return wanted[1] == (target.content if isinstance(target, ByDigest) else target)
