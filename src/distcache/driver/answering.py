"""The answer to one pull: the core's effects for it, as steps.

What is stored and open needs no wait but the writing itself. A file that is not open yet is
opened in a thread, and a body in memory is copied out of it in pieces.
"""

from collections.abc import Callable

from .. import log
from ..core.effects import Abort, AnswerHead, Finish, Respond, Stored
from ..core.pull import Pull
from ..settings import Level
from ..store import StoreError
from ..wire.server import ServerWire
from .driver import Driver
from .exchange import Send
from .shortcut import SMALL
from .sources import Source
from .steps import Pause, SendFile, Step
from .telling import Line

COPY = 256 * 1024
"""Bytes of a body in memory that are copied out of it at once."""


class Answering:
    """Asks for `pull`. `done` gives the step that follows the answer; after it, as after
    Pause.END, there is none. `wake`: as for the dialogue. `line` is the asker."""

    # One is made for each pull, and most need none of these.
    _left = False
    _head: AnswerHead | None = None
    _sending: Send | None = None
    _source: Source | StoreError | None = None
    _file: SendFile | None = None
    _at = 0
    _until = 0
    _after = b""

    def __init__(
        self,
        pull: Pull,
        line: Line,
        wire: ServerWire,
        driver: Driver,
        wake: Callable[[], None],
        done: Callable[[], Step],
    ) -> None:
        self.pull = pull
        self._line = line
        self._wire = wire
        self._driver = driver
        self._wake = wake
        self._done = done
        self._next: Callable[[], Step] = self._go_on
        self.exchange = driver.open(pull, wake, line)

    def step(self) -> Step:
        return self._next()

    def lost(self, error: Exception) -> None:
        """The file of the SendFile could not be read to its end."""
        assert self._sending is not None
        self._lose(self._sending, error, answered=True)

    def leave(self) -> None:
        """It is over, answered or not; once."""
        self._left = True
        self._count()
        self._release()
        self._driver.left(self.exchange)

    def _go_on(self) -> Step:
        """A head waits for what follows it: to leave with it, and not to leave at all when what
        it promises cannot be opened."""
        exchange = self.exchange
        self._next = self._go_on
        while exchange.effects:
            effect = exchange.effects.popleft()
            if isinstance(effect, Respond):
                self._head = effect.head
            elif isinstance(effect, Send):
                step = self._send(effect)
                if step is not None:
                    return step
            elif isinstance(effect, Finish):
                self._next = self._done
                return self._start() + self._wire.finish() or self._done()
            else:
                assert isinstance(effect, Abort)
                self._line.cut, self._line.aborted = effect.reason, effect.blame.value
                # Nothing of the answer may have left: it is told of all the same.
                self._line.head = self._line.head or self._head or exchange.promised
                return Pause.END
        return Pause.WORD if self._head is None else self._start()

    def _send(self, sending: Send) -> Step | None:
        """None: it was lost, and the core has been told."""
        self._sending = sending
        if sending.opened is not None:
            return self._pour(sending, sending.opened)
        if not isinstance(sending.source, Stored):
            error = StoreError(f"spool {sending.source.number} is not open")
            self._lose(sending, error, answered=self._line.status != 0)
            return None
        self._next = self._opened
        self._driver.open_blob(sending.source.digest, self._take_source)
        return Pause.WORD

    def _take_source(self, source: Source | StoreError) -> None:
        if self._left and not isinstance(source, StoreError):
            source.release()
        elif not self._left:
            self._source = source
            self._wake()

    def _opened(self) -> Step:
        source, sending = self._source, self._sending
        if source is None or sending is None:
            return Pause.WORD
        self._next = self._go_on
        if isinstance(source, StoreError):
            self._lose(sending, source, answered=self._line.status != 0)
            return self._go_on()
        return self._pour(sending, source) or self._go_on()

    def _pour(self, sending: Send, source: Source) -> Step | None:
        self._source = source
        span = sending.span
        length = span.stop - span.start
        if length <= SMALL:
            try:
                data = source.read(span.start, span.stop)
            except StoreError as error:
                self._lose(sending, error, answered=self._line.status != 0)
                return None
            start = self._start()
            before, after = self._wire.frame(length)
            self._next = self._sent
            return b"".join((start, before, data, after))
        start = self._start()
        before, self._after = self._wire.frame(length)
        if source.fd is not None:
            self._next = self._end_of_span
            self._file = SendFile(start + before, source.fd, span.start, span.stop)
            return self._file
        self._until = span.start
        self._next = self._copy
        return start + before or self._copy()

    def _copy(self) -> Step:
        """The next piece of a body that is in memory."""
        sending, source = self._sending, self._source
        assert sending is not None
        assert source is not None
        assert not isinstance(source, StoreError)
        self._at = self._until
        self._until = min(self._at + COPY, sending.span.stop)
        if self._at == self._until:
            return self._end_of_span()
        try:
            return source.read(self._at, self._until)
        except StoreError as error:
            self._lose(sending, error, answered=True)
            return self._go_on()

    def _end_of_span(self) -> Step:
        after, self._after = self._after, b""
        self._next = self._sent
        return after or self._sent()

    def _sent(self) -> Step:
        sending = self._sending
        assert sending is not None
        self._line.sent += sending.span.stop - sending.span.start
        self._file, self._at = None, 0
        self._release()
        self._driver.sent(self.exchange, sending)
        return self._go_on()

    def _start(self) -> bytes:
        """The head, if it is still to be sent."""
        head, line = self._head, self._line
        if head is None:
            return b""
        self._head = None
        line.status = head.status
        line.head = head
        start = self._wire.answer(head, self.pull, self._driver.clock.last)
        line.sent += self._wire.own
        return start

    def _lose(self, sending: Send, error: Exception, *, answered: bool) -> None:
        fields: dict[str, log.Value] = {"digest": sending.source.digest, "error": str(error)}
        log.note(Level.ERROR, "content cannot be read", fields)
        self._count()
        self._release()
        self._after = b""
        self._next = self._go_on
        if not answered:
            # What it promises is another's to keep.
            self._head = None
        self._driver.lost(self.exchange, sending, answered=answered)

    def _count(self) -> None:
        """What has left of a span that does not leave whole."""
        file, sending = self._file, self._sending
        if sending is not None:
            at = self._at if file is None else file.start
            self._line.sent += max(at - sending.span.start, 0)
        self._file, self._at = None, 0

    def _release(self) -> None:
        """The use of what is, or was to be, sent from."""
        sending, self._sending = self._sending, None
        source, self._source = self._source, None
        if sending is not None and sending.opened is not None:
            sending.opened.release()
        elif source is not None and not isinstance(source, StoreError):
            source.release()
