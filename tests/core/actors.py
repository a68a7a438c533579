"""Who takes part in a story: clients, upstream's transfers, its token service.

Each is handed out by the `Scenario`, and tells it what happens by methods named for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from distcache.core.decision import Decision
from distcache.core.effects import (
    AcquireToken,
    AnswerHead,
    Blame,
    Fetch,
    Problem,
    SendBody,
    Source,
    Spool,
    Stored,
    UpstreamRequest,
)
from distcache.core.events import (
    BodySent,
    BodySpooled,
    Cause,
    ClientClosed,
    Event,
    FetchEnded,
    FetchFailed,
    HeadReceived,
    Held,
    Secret,
    SourceLost,
    TokenGranted,
    TokenRefused,
    UpstreamHead,
)
from distcache.core.oci import Digest, Document
from distcache.core.pull import Pull, Span
from tests.core.content import Item

if TYPE_CHECKING:
    from tests.core.scenario import Scenario


@define(eq=False)
class Client:
    """One client's connection: what it was answered, and what it has received so far."""

    scenario: Scenario
    number: int
    pull: Pull
    head: AnswerHead | None = None
    turn: SendBody | None = None
    at: int | None = None
    end: str = ""
    """`finished`, `aborted` or `left`."""
    blame: Blame | None = None
    """Who was to blame where it was aborted."""

    @property
    def answer(self) -> AnswerHead:
        assert self.head is not None, "not answered yet"
        return self.head

    @property
    def status(self) -> int | None:
        """None while it waits."""
        return self.head.status if self.head else None

    @property
    def problem(self) -> Problem:
        assert self.answer.problem is not None
        return self.answer.problem

    @property
    def decision(self) -> Decision:
        return self.answer.decision

    @property
    def offered(self) -> Span | None:
        """What is on its way to it."""
        return self.turn.span if self.turn else None

    @property
    def source(self) -> Source:
        assert self.turn is not None
        return self.turn.source

    def takes(self) -> None:
        """What was sent has gone out."""
        assert self.turn is not None, "nothing is being sent"
        stop, self.turn = self.turn.span.stop, None
        self.at = stop
        self.scenario.handle(BodySent(self.number, stop))

    def takes_all(self) -> None:
        while self.turn is not None:
            self.takes()

    def leaves(self) -> None:
        self.end, self.turn = "left", None
        self.scenario.handle(ClientClosed(self.number))

    def loses_source(self, *, answered: bool, gone: bool = True) -> None:
        """What it was to be sent could not be read; `gone`: as nobody can any more."""
        assert isinstance(self.source, Stored | Spool)
        source, self.turn = self.source, None
        digest = source.digest
        assert digest is not None
        if isinstance(source, Stored) and gone:
            self.scenario.disk.discard(digest)
        if not answered:
            self.head = None
        self.scenario.handle(SourceLost(self.number, digest, answered))


@define(eq=False)
class Transfer:
    """One request to upstream."""

    scenario: Scenario
    effect: Fetch
    open: bool = True

    @property
    def request(self) -> UpstreamRequest:
        return self.effect.request

    @property
    def spool(self) -> Spool:
        assert self.effect.spool is not None, "its body is not wanted"
        return self.effect.spool

    def answers(self, status: int = 200, **head: Any) -> None:
        self._says(HeadReceived(self.effect.fetch, UpstreamHead(status, **head)))

    def offers(self, item: Item, **more: Any) -> None:
        """A 200 that describes `item` as a good registry does."""
        self.answers(length=item.size, digest=item.digest, media_type=item.media_type, **more)

    def brings(self, upto: int) -> None:
        """The spool now holds so many bytes."""
        held = self.scenario.spools.setdefault(self.spool.number, 0)
        assert upto >= held, "a spool only grows"
        self.scenario.spools[self.spool.number] = upto
        self._says(BodySpooled(self.effect.fetch, upto))

    def ends(self, digest: Digest | None = None, document: Document | None = None) -> None:
        self._says(FetchEnded(self.effect.fetch, digest, document), last=True)

    def fails(self, cause: Cause = Cause.CUT) -> None:
        held = None
        if cause in (Cause.NO_SPACE, Cause.STORE) and self.effect.spool is not None:
            length = self.scenario.spools.get(self.spool.number, 0)
            held = Held(length, Digest("sha256:what-it-holds"))
        self._says(FetchFailed(self.effect.fetch, cause, held), last=True)

    def finishes(self, item: Item) -> None:
        """All that is missing, and the end; `item` is what came."""
        self.brings(item.size)
        self.ends(item.digest, item.document)

    def delivers(self, item: Item, **more: Any) -> None:
        """Head, body and end."""
        self.offers(item, **more)
        self.finishes(item)

    def _says(self, event: Event, *, last: bool = False) -> None:
        assert self.open, "this fetch is over"
        self.open = not last
        self.scenario.handle(event)


@define(eq=False)
class TokenRequest:
    scenario: Scenario
    effect: AcquireToken
    open: bool = True

    def grants(self, token: str = "token", expires_in: float = 60.0) -> None:
        self.open = False
        self.scenario.handle(TokenGranted(self.effect.request, Secret(token), expires_in))

    def refuses(self, status: int | None, cause: Cause | None = None, **more: Any) -> None:
        self.open = False
        self.scenario.handle(TokenRefused(self.effect.request, status, cause, **more))
