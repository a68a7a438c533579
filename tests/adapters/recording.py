"""A core that keeps a record, and holds the adapter to the contract of events and effects.

Exactly one terminal event for everything that is begun, progress only before it, and no
ClientClosed once the core has said Finish or Abort.
"""

from attrs import define, field

from distcache.core import effects as fx
from distcache.core import events as ev
from distcache.core.cache import Cache
from distcache.core.config import Config
from distcache.core.effects import Effect
from distcache.core.events import Event
from distcache.core.hits import Hit
from distcache.core.inventory import Inventory
from distcache.core.oci import Digest, Time
from distcache.core.pull import Pull


@define(eq=False)
class Ledger:
    """What is begun and not ended. `events` in order."""

    events: list[Event] = field(factory=list)
    effects: list[Effect] = field(factory=list)
    fetches: set[int] = field(factory=set)
    requests: set[int] = field(factory=set)
    exchanges: set[int] = field(factory=set)
    sending: dict[int, int] = field(factory=dict)
    commits: list[Digest] = field(factory=list)
    deletions: list[Digest] = field(factory=list)

    def open_business(self) -> list[str]:
        """Empty when all that was begun has ended."""
        parts = {
            "fetches": self.fetches,
            "token requests": self.requests,
            "exchanges": self.exchanges,
            "commits": self.commits,
            "deletions": self.deletions,
        }
        return [f"{name}: {open_}" for name, open_ in parts.items() if open_]

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def take(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case ev.PullRequested():
                self.exchanges.add(event.exchange)
            case ev.BodySent():
                assert self.sending.pop(event.exchange) == event.stop
            case ev.SourceLost():
                del self.sending[event.exchange]
            case ev.ClientClosed():
                self.exchanges.remove(event.exchange)
                self.sending.pop(event.exchange, None)
            case ev.HeadReceived() | ev.BodySpooled():
                assert event.fetch in self.fetches, event
            case ev.FetchEnded() | ev.FetchFailed():
                self.fetches.remove(event.fetch)
            case ev.TokenGranted() | ev.TokenRefused():
                self.requests.remove(event.request)
            case ev.BlobCommitted():
                self.commits.remove(event.digest)
            case ev.BlobDeleted():
                self.deletions.remove(event.digest)
            case ev.StoreFailed():
                commit = event.operation is ev.StoreOperation.COMMIT
                (self.commits if commit else self.deletions).remove(event.digest)

    def give(self, effect: Effect) -> None:
        self.effects.append(effect)
        match effect:
            case fx.SendBody():
                self.sending[effect.exchange] = effect.span.stop
            case fx.Finish() | fx.Abort():
                self.exchanges.remove(effect.exchange)
                self.sending.pop(effect.exchange, None)
            case fx.Fetch():
                self.fetches.add(effect.fetch)
            case fx.AcquireToken():
                self.requests.add(effect.request)
            case fx.CommitBlob():
                self.commits.append(effect.digest)
            case fx.DeleteBlob():
                self.deletions.append(effect.digest)


class RecordingCache(Cache):
    """Checks the core's own invariants after each event, too."""

    ledger: Ledger

    def __init__(self, config: Config, inventory: Inventory) -> None:
        super().__init__(config, inventory)
        self.ledger = Ledger()

    def handle(self, event: Event, now: Time) -> list[Effect]:
        self.ledger.take(event)
        effects = super().handle(event, now)
        for effect in effects:
            self.ledger.give(effect)
        self.check()
        return effects

    def begin(self, exchange: int, pull: Pull, now: Time) -> Hit | None:
        hit = super().begin(exchange, pull, now)
        if hit is not None:
            self.ledger.take(ev.PullRequested(exchange, pull))
            self.ledger.give(fx.Respond(exchange, hit.head))
            assert hit.span is not None, "one without a body goes by as a whole"
            self.ledger.give(fx.SendBody(exchange, hit.source, hit.span))
        self.check()
        return hit
