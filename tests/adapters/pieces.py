"""A core that cancels a large body in its middle, and what must come of that."""

from attrs import define, field

from distcache.core import effects as fx
from distcache.core import events as ev


@define
class CancelAt:
    """A script: transfer `number` is cancelled when its `piece`-th piece has come, and some of its
    `size` bytes have not."""

    number: int
    piece: int
    size: int
    seen: int = field(default=0, init=False)

    def __call__(self, event: ev.Event) -> list[fx.Effect]:
        self.seen += isinstance(event, ev.BodySpooled) and event.length < self.size
        return [fx.CancelFetch(self.number)] if self.seen == self.piece else []

    def check(self, end: ev.Event) -> None:
        """Pieces may come together: then there was nothing to cancel."""
        cancelled = ev.FetchFailed(self.number, ev.Cause.CANCELLED)
        assert end == cancelled if self.seen >= self.piece else isinstance(end, ev.FetchEnded)
