"""What a request's head says, worked out once for all that look the same."""

from typing import Protocol

from attrs import frozen

from ..access import Asked, asked
from ..core.pull import Pull
from ..wire.headers import Headers, only, sendable, values
from ..wire.memo import HEADS, Memo, common
from ..wire.plain import Request
from ..wire.replies import Reply
from .asking import agent_of, given_id

LONGEST_CHAIN = 1000
"""Characters of Via: with more, caches go round and round that do not know themselves."""


class Routes(Protocol):
    """What a request asks for: a pull, which is the same for the same head, or an answer that
    needs no cache."""

    def route(
        self, method: bytes, target: bytes, headers: Headers, http_version: bytes
    ) -> Pull | Reply: ...


@frozen
class Reading:
    """`via`: through whom it came; `circle`: through us, or too many. `login` is the one
    Authorization; `touches` is what `routed` does; `id` is the client's, or empty, and `agent` its
    program's name."""

    request: Request
    router: Routes
    via: str
    circle: bool
    routed: Pull | Reply
    login: str | None
    touches: Asked
    id: str
    agent: str | None


class Readings:
    """Of the last heads. `name` is what we call ourselves in Via."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: Memo[int, Reading] = Memo(HEADS)

    def of(self, request: Request, router: Routes) -> Reading:
        """The wire hands out the same object for the same common head: it is known by that, and
        held on to, so that no other can be taken for it."""
        known = self._known.get(id(request))
        if known is not None and known.router is router:
            return known
        reading = self._read(request, router)
        if not isinstance(reading.routed, Pull):
            return reading  # the next answer may be another
        if common(request.target, request.headers):
            self._known.put(id(request), reading)
        return reading

    def _read(self, request: Request, router: Routes) -> Reading:
        headers = request.headers
        via = ", ".join(values(headers, b"via"))
        circle = bool(via) and (self._name in via or len(via) > LONGEST_CHAIN)
        routed = router.route(request.method, request.target, headers, request.http_version)
        login = only(headers, b"authorization")
        via = via if sendable(via) else ""
        touches, number, agent = asked(routed), given_id(headers), agent_of(headers)
        return Reading(request, router, via, circle, routed, login, touches, number, agent)
