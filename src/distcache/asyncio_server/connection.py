"""One client's connection: does what its dialogue says, in callbacks, without a task.

What needs no wait happens in the callback that the request's last byte came with: parsing,
deciding, writing. A connection waits in one place at a time, and for each there is a callback.
"""

import asyncio
import math
import socket
from collections.abc import Callable

from .. import log
from ..driver import Dialogue, Ending, Pause, SendFile, Service, Step, sockets
from ..driver.sockets import GoneError, SourceError
from .poller import Poller
from .transport import Transport

TURN = 16
"""Answers to one client in a row, which it has asked for in advance; then others get their turn."""


class Connection:
    """`ended` is called once, when it is closed. Begins to read at once. `closed` for good. Over
    TLS where the service has certificates. GoneError, with the socket closed."""

    def __init__(
        self,
        sock: socket.socket,
        client: str,
        service: Service,
        poller: Poller,
        ended: Callable[["Connection"], None],
    ) -> None:
        if service.certificates is not None:
            sock = sockets.secure(sock, service.certificates.current())
        self.client = client
        self.sock = sock
        self._service = service
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._transport = Transport(sock, poller, self._readable, self._writable, self.close)
        self.dialogue = Dialogue(client, service, self._wake)
        self._place: Pause | None = None
        self.closed = False
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = math.inf
        self._lingering = 0
        self._begun = False
        self._until(service.time() + service.timeouts.headers)
        self._guard(self._begin)

    def retire(self) -> None:
        """End it if it waits for a first byte; an answer under way is its last anyway."""
        if self.dialogue.idle or not self._begun:
            self.close()

    def close(self, why: Ending = Ending.GONE) -> None:
        """At once, whatever is under way. Harmless when closed."""
        if self.closed:
            return
        self.closed = True
        self._place = Pause.END
        for handle in (self._timer, self._turn):
            if handle is not None:
                handle.cancel()
        self._transport.close(reset=self.dialogue.close(why))
        self._ended(self)

    # What the room calls

    def leaves(self, step: Step) -> None:
        self._place = None
        self._until(self.dialogue.deadline)
        self._guard(lambda: self._go_on(step))

    def fails(self, error: Exception) -> None:
        # One connection's bug is not the others' end.
        if isinstance(error, GoneError):
            self.close()
        else:
            log.failure("a connection failed", error)
            self.close(Ending.FAILED)

    # What the loop calls

    def _readable(self) -> None:
        self._guard(self._read if self._begun else self._begin)

    def _writable(self) -> None:
        self._guard(self._flush if self._begun else self._begin)

    def _taken_up(self) -> None:
        self._turn = None
        self._guard(self._go_on)

    def _expired(self) -> None:
        self._timer = None
        if self._place is Pause.BYTES:
            # Answers may have gone by.
            self._deadline = self.dialogue.deadline
        if self._loop.time() >= self._deadline:
            self.close(Ending.SLOW)
        elif self._deadline < math.inf:
            self._timer = self._loop.call_at(self._deadline, self._expired)

    def _wake(self) -> None:
        # Not at once: who calls is in the middle of telling the core.
        if self._place is Pause.WORD:
            self._take_up()

    # What it does

    def _begin(self) -> None:
        if self._transport.shake_hands():
            self.dialogue.subject = self._transport.subject
            self._begun = True
            self._go_on()

    def _go_on(self, step: Step | None = None) -> None:
        """From step to step, as far as it goes without waiting."""
        dialogue, transport = self.dialogue, self._transport
        self._place = None
        for _ in range(TURN):
            if step is None:
                step = dialogue.step()
            if type(step) is bytes:
                done = transport.write(step)
            elif isinstance(step, SendFile):
                done = self._send_file(step)
            else:
                assert isinstance(step, Pause)
                self._pause(step)
                return
            if not done:
                self._until(self._service.time() + self._service.timeouts.write)
                return
            step = None
        self._take_up()

    def _send_file(self, step: SendFile) -> bool:
        try:
            return self._transport.send_file(step)
        except SourceError as error:
            self.dialogue.lost(error)
            return True

    def _pause(self, place: Pause) -> None:
        self._place = place
        if place is Pause.BYTES:
            self._until(self.dialogue.deadline)
            self._transport.enter_room(self)
        elif place is Pause.WORD:
            self._until(math.inf)
            if not self.dialogue.full:
                self._transport.resume_reading()
        elif place is Pause.LINGER and self._transport.end():
            self._until(self._loop.time() + sockets.LINGER)
            self._transport.resume_reading()
        else:
            self.close()

    def _read(self) -> None:
        place = self._place
        if place is None or (place is Pause.WORD and self.dialogue.full):
            # There is no use for it now; the client waits.
            self._transport.pause_reading()
            return
        data = self._transport.read()
        if data is None:
            return
        if place is Pause.LINGER:
            self._lingering += 1
            if not data or self._lingering >= sockets.LINGER_READS:
                self.close()
            return
        self.dialogue.receive(data)
        if self._turn is None:
            self._go_on()

    def _flush(self) -> None:
        try:
            done = self._transport.flush()
        except SourceError as error:
            self.dialogue.lost(error)
            done = True
        if done:
            self._go_on()
        else:
            self._until(self._service.time() + self._service.timeouts.write)

    def _take_up(self) -> None:
        if self._turn is None:
            self._turn = self._loop.call_soon(self._taken_up)

    def _until(self, deadline: float) -> None:
        """The timer is left running when the deadline moves away: most of them do."""
        self._deadline = deadline
        timer = self._timer
        if deadline < math.inf and (timer is None or timer.when() > deadline):
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_at(deadline, self._expired)

    def _guard(self, act: Callable[[], None]) -> None:
        if self.closed:
            return
        try:
            act()
        except Exception as error:
            self.fails(error)
