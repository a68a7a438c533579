"""One client's connection: does what its dialogue says, in one task.

The task waits in one place at a time: for the client's bytes, for the core's word, or for the
client to take bytes.
"""

import socket

import trio

from ..driver import Dialogue, Ending, Pause, SendFile, Service, Step, sockets
from ..driver.sockets import GoneError, SlowError, SourceError
from .transport import Transport
from .waiting import Hall, Seat


class Connection:
    """Over TLS where the service has certificates. GoneError, with the socket closed."""

    def __init__(self, sock: socket.socket, client: str, service: Service, hall: Hall) -> None:
        if service.certificates is not None:
            sock = sockets.secure(sock, service.certificates.current())
        self._service = service
        self._transport = Transport(sock, service.timeouts.write)
        self._dialogue = Dialogue(client, service, self._wake)
        self._seat = Seat(sock, self._dialogue, hall)
        self._idle: trio.CancelScope | None = None
        self._waiting: trio.CancelScope | None = None
        self._woken = False
        self._begun = False
        self._retired = False

    async def run(self) -> None:
        """Until either side has had enough; closes the socket."""
        why = Ending.GONE
        try:
            if await self._begin():
                step = self._dialogue.step()
                while step is not Pause.END:
                    step = await self._do(step)
        except SlowError:
            why = Ending.SLOW
        except GoneError:
            pass
        except trio.Cancelled:
            why = Ending.SHUTDOWN
            raise
        except Exception:
            why = Ending.FAILED
            raise
        finally:
            self._seat.close()
            self._transport.close(reset=self._dialogue.close(why))

    def retire(self) -> None:
        """End it if it waits for a first byte; an answer under way is its last anyway."""
        if (self._dialogue.idle or not self._begun) and self._idle is not None:
            self._retired = True
            self._idle.cancel()

    async def _begin(self) -> bool:
        """False: the client takes too long about it. GoneError."""
        service = self._service
        with trio.CancelScope(deadline=service.time() + service.timeouts.headers) as self._idle:
            self._dialogue.subject = await self._transport.shake_hands()
            self._begun = True
        self._idle = None
        return self._begun

    async def _do(self, step: Step) -> Step:
        """The next one. GoneError."""
        if isinstance(step, bytes):
            await self._transport.write(step)
        elif isinstance(step, SendFile):
            await self._send_file(step)
        elif step is Pause.BYTES:
            return await self._listen()
        elif step is Pause.WORD:
            await self._wait()
        else:
            await self._transport.part()
            return Pause.END
        return self._dialogue.step()

    async def _send_file(self, step: SendFile) -> None:
        if step.before:
            await self._transport.write(step.before, more=True)
        try:
            await self._transport.send_file(step)
        except SourceError as error:
            self._dialogue.lost(error)

    async def _listen(self) -> Step:
        dialogue = self._dialogue
        while True:
            with trio.CancelScope(deadline=dialogue.deadline) as self._idle:
                step = await self._seat.wait()
            scope, self._idle = self._idle, None
            if not scope.cancelled_caught:
                return step
            # The scope's deadline is that of the first request that was waited for in it.
            if self._retired or trio.current_time() >= dialogue.deadline:
                return Pause.END

    async def _wait(self) -> None:
        if not self._woken:
            with trio.CancelScope() as self._waiting:
                if self._dialogue.full:
                    await trio.sleep_forever()
                self._dialogue.receive(await self._transport.read())
            self._waiting = None
        self._woken = False

    def _wake(self) -> None:
        # The word may come before we are there to wait for it.
        self._woken = True
        if self._waiting is not None:
            self._waiting.cancel()
