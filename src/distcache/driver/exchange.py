"""One client's pull as its connection sees it: the core's effects, in order."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from attrs import Factory, define

from ..core.effects import Abort, AnswerHead, Finish, Respond, Spool, Stored
from ..core.pull import Client, Pull, Span
from .sources import Source
from .tracing import TraceSpan


@define(eq=False)
class Send:
    """A SendBody with a use of its source, taken when the core said so: by the time that the
    connection comes to it, the spool may be discarded. None: a blob that is not open, which
    the connection opens; or a spool that there is not."""

    source: Stored | Spool
    span: Span
    opened: Source | None

    def release(self) -> None:
        if self.opened is not None:
            self.opened.release()


class Asker(Protocol):
    """A client's request, as far as upstream is told of it. `via`: through whom it came, as its
    Via says."""

    @property
    def pull(self) -> Pull | None: ...

    @property
    def client(self) -> Client: ...

    @property
    def via(self) -> str: ...

    @property
    def name(self) -> str:
        """Its id."""

    @property
    def span(self) -> TraceSpan | None: ...


ClientEffect = Respond | Send | Finish | Abort


@define(eq=False)
class Exchange:
    """One pull and the core's effects for it, which its connection takes from the left. `done`:
    the core has no more to do with it, or was told that the client left."""

    number: int
    wake: Callable[[], None]
    asker: Asker | None = None
    effects: deque[ClientEffect] = Factory(deque)
    done: bool = False
    promised: AnswerHead | None = None
    """The head, where it was forgotten before it had left."""

    def take(self, effect: ClientEffect) -> None:
        self.effects.append(effect)
        self.wake()

    def forget(self) -> None:
        """Nothing of what is still to be done will be done."""
        while self.effects:
            effect = self.effects.popleft()
            if isinstance(effect, Send):
                effect.release()
            elif isinstance(effect, Respond):
                self.promised = effect.head
