"""One client's connection: does what its dialogue says, in one task.

The task waits in one place at a time: for the client's bytes, for the core's word, or for the
client to take bytes.
"""

import socket

import trio

from ..driver import Dialogue, Pause, SendFile, Service, Step, sockets
from ..driver.sockets import GoneError, SourceError
from .transport import Transport


class Connection:
    """Over TLS where the service has certificates. GoneError, with the socket closed."""

    def __init__(self, sock: socket.socket, client: str, service: Service) -> None:
        if service.certificates is not None:
            sock = sockets.secure(sock, service.certificates.current())
        self._service = service
        self._transport = Transport(sock, service.timeouts.write)
        self._dialogue = Dialogue(client, service, self._wake)
        self._idle: trio.CancelScope | None = None
        self._waiting: trio.CancelScope | None = None
        self._begun = False
        self._retired = False

    async def run(self) -> None:
        """Until either side has had enough; closes the socket."""
        try:
            if await self._begin():
                while await self._do(self._dialogue.step()):
                    pass
        except GoneError:
            pass
        finally:
            self._transport.close(reset=self._dialogue.close())

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

    async def _do(self, step: Step) -> bool:
        """False: it was the last one. GoneError."""
        if isinstance(step, bytes):
            await self._transport.write(step)
        elif isinstance(step, SendFile):
            await self._send_file(step)
        elif step is Pause.BYTES:
            return await self._listen()
        elif step is Pause.WORD:
            await self._wait()
        elif step is Pause.LINGER:
            await self._transport.part()
            return False
        else:
            return False
        return True

    async def _send_file(self, step: SendFile) -> None:
        if step.before:
            await self._transport.write(step.before, more=True)
        try:
            await self._transport.send_file(step.fd, step.start, step.stop)
        except SourceError as error:
            self._dialogue.lost(error)

    async def _listen(self) -> bool:
        dialogue = self._dialogue
        while True:
            with trio.CancelScope(deadline=dialogue.deadline) as self._idle:
                # A client that is always quick with its next request must not keep the loop.
                await trio.lowlevel.checkpoint()
                step = await self._give()
            scope, self._idle = self._idle, None
            if not scope.cancelled_caught:
                break
            # The scope's deadline is that of the first request that was waited for in it.
            if self._retired or trio.current_time() >= dialogue.deadline:
                return False
        return await self._do(step)

    async def _give(self) -> Step:
        """Answers for as long as they are there at once; what is left to write of the last one.
        Cancelling loses nothing. GoneError."""
        dialogue, transport = self._dialogue, self._transport
        while True:
            data = await transport.read()
            answer = dialogue.at_once(data)
            if answer is None:
                dialogue.receive(data)
                return b""
            if isinstance(answer, SendFile):
                if not self._begin_file(answer):
                    return answer
            elif rest := transport.begin(answer):
                return bytes(rest)
            if self._service.draining or dialogue.step() is not Pause.BYTES:
                return b""
            await transport.readable()

    def _begin_file(self, file: SendFile) -> bool:
        """Whether nothing is left to send. GoneError."""
        try:
            return self._transport.begin_file(file)
        except SourceError as error:
            self._dialogue.lost(error)
            return True

    async def _wait(self) -> None:
        with trio.CancelScope() as self._waiting:
            if self._dialogue.full:
                await trio.sleep_forever()
            self._dialogue.receive(await self._transport.read())
        self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
