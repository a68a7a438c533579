"""One client's connection: requests in, answers out, one after the other.

One task, which waits in one place at a time: for a request, for the core's word, or for the
client to take bytes. What is stored and open goes out without a thread, small answers in one
write, files by sendfile.
"""

import socket
from time import perf_counter

import trio
from attrs import define, frozen

from .. import log
from ..core.effects import Abort, AnswerHead, Finish, Respond, Stored
from ..core.pull import Pull
from ..driver import Driver, Exchange, Send, Source
from ..settings import HttpTimeouts, Level
from ..store import StoreError
from ..wire.answers import cache_status
from ..wire.headers import only
from ..wire.replies import Reply
from ..wire.routes import Router
from ..wire.server import Reject, Request, ServerWire, Signal
from .transport import GoneError, SourceError, Transport

SMALL = 64 * 1024
"""Bytes of body that are copied through memory, so that they leave with the head."""

COPY = 256 * 1024
"""Bytes of a body in memory that are copied out of it at once."""


@define(eq=False)
class Service:
    """What connections work with. `router` and `timeouts` may be changed while they run;
    `draining`: an answer is the last one on its connection."""

    driver: Driver
    router: Router
    timeouts: HttpTimeouts
    draining: bool = False


@frozen
class _Answering:
    """A pull being answered."""

    pull: Pull
    exchange: Exchange
    line: "_Line"


@define(eq=False)
class _Line:
    """What the log line will say of a request."""

    request: Request
    begun: float
    status: int = 0
    sent: int = 0
    cache: str | None = None


class Connection:
    def __init__(self, sock: socket.socket, client: str, service: Service) -> None:
        self._service = service
        self._client = client
        self._transport = Transport(sock, service.timeouts.write)
        self._wire = ServerWire()
        self._idle: trio.CancelScope | None = None
        self._waiting: trio.CancelScope | None = None

    async def run(self) -> None:
        """Until either side has had enough; closes the socket."""
        try:
            while (request := await self._request()) is not None:
                if isinstance(request, Reject):
                    await self._transport.write(self._wire.reply(request.reply, self._now()))
                else:
                    await self._answer(request)
                if self._service.draining or not self._wire.reusable:
                    await self._transport.part()
                    break
                # A client that is always quick with its next request must not keep the loop.
                await trio.lowlevel.checkpoint()
        except GoneError:
            pass
        finally:
            self._transport.close()

    def retire(self) -> None:
        """End it if it waits for a first byte; an answer under way is its last anyway."""
        if self._idle is not None:
            self._idle.cancel()

    async def _request(self) -> Request | Reject | None:
        """The next request, None when there will be none."""
        timeouts = self._service.timeouts
        deadline = trio.current_time() + timeouts.idle
        begun = False
        while True:
            match self._wire.next():
                case Request() | Reject() as request:
                    return request
                case Signal.CLOSED:
                    return None
            if self._service.draining and not begun:
                return None
            with trio.CancelScope(deadline=deadline) as scope:
                self._idle = None if begun else scope
                data = await self._transport.read()
            self._idle = None
            if scope.cancelled_caught:
                return None
            self._wire.receive(data)
            if not begun:
                begun = True
                deadline = trio.current_time() + timeouts.headers

    async def _answer(self, request: Request) -> None:
        line = _Line(request, perf_counter())
        try:
            asked = self._service.router.route(
                request.method, request.target, request.headers, request.http_version
            )
            if isinstance(asked, Reply):
                line.status, line.sent = asked.status, len(asked.body)
                await self._transport.write(self._wire.reply(asked, self._now()))
            else:
                await self._pull(asked, line)
        finally:
            self._log(line)

    async def _pull(self, pull: Pull, line: _Line) -> None:
        """GoneError: the client left, or the answer had to be cut."""
        driver = self._service.driver
        exchange = driver.open(pull, self._wake)
        answering = _Answering(pull, exchange, line)
        # A head waits for what follows it: to leave with it, and not to leave at all when what
        # it promises cannot be opened.
        head: AnswerHead | None = None
        try:
            while True:
                if not exchange.effects:
                    if head is not None:
                        await self._transport.write(self._start(answering, head))
                        head = None
                    await self._wait(exchange)
                match exchange.effects.popleft():
                    case Respond(head=head):
                        pass
                    case Send() as sending:
                        await self._send(answering, sending, head)
                        head = None
                    case Finish():
                        start = b"" if head is None else self._start(answering, head)
                        await self._transport.write(start + self._wire.finish())
                        return
                    case Abort():
                        raise GoneError
        except BaseException:
            if not pull.chunked:
                # To a client of HTTP/1.0 the end of the connection may be the end of the body.
                self._transport.reset_on_close()
            raise
        finally:
            driver.left(exchange)

    async def _wait(self, exchange: Exchange) -> None:
        """For the core's word. GoneError: the client left meanwhile; one that only says that it
        will send no more is taken for gone, as it cannot be told apart. What it sends already,
        its next requests, is kept as far as it is not too much."""
        with trio.CancelScope() as self._waiting:
            while not exchange.effects:
                if self._wire.full:
                    await trio.sleep_forever()
                data = await self._transport.read()
                self._wire.receive(data)
                if not data:
                    raise GoneError
        self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    async def _send(self, answering: _Answering, sending: Send, head: AnswerHead | None) -> None:
        """One span of the body, with the head when that is still to be sent."""
        driver = self._service.driver
        span = sending.span
        small = span.stop - span.start <= SMALL
        data = b""
        source = None
        try:
            source = await self._open(sending)
            if small:
                data = source.read(span.start, span.stop)
        except StoreError as error:
            if source is not None:
                source.release()
            self._report(sending, error)
            driver.lost(answering.exchange, sending, answered=answering.line.status != 0)
            return
        try:
            start = b"" if head is None else self._start(answering, head)
            before, after = self._wire.frame(span.stop - span.start)
            if small:
                await self._transport.write(start + before + data + after)
            else:
                await self._send_large(source, sending, start + before)
                await self._transport.write(after)
        except (StoreError, SourceError) as error:
            self._report(sending, error)
            driver.lost(answering.exchange, sending, answered=True)
            return
        finally:
            source.release()
        answering.line.sent += span.stop - span.start
        driver.sent(answering.exchange, sending)

    async def _send_large(self, source: Source, sending: Send, before: bytes) -> None:
        start, stop = sending.span.start, sending.span.stop
        if before:
            await self._transport.write(before, more=True)
        if source.fd is not None:
            await self._transport.send_file(source.fd, start, stop)
            return
        while start < stop:
            until = min(start + COPY, stop)
            await self._transport.write(source.read(start, until))
            start = until

    async def _open(self, sending: Send) -> Source:
        """StoreError."""
        driver = self._service.driver
        if sending.opened is not None:
            return sending.opened
        if not isinstance(sending.source, Stored):
            raise StoreError(f"spool {sending.source.number} is not open")
        digest = sending.source.digest
        # Not to be cancelled: the descriptor would be lost.
        fd = await trio.to_thread.run_sync(driver.opening(digest))
        return driver.opened(digest, fd)

    def _start(self, answering: _Answering, head: AnswerHead) -> bytes:
        answering.line.status = head.status
        answering.line.cache = cache_status(head.decision)
        return self._wire.answer(head, answering.pull, self._now())

    def _now(self) -> float:
        return self._service.driver.clock.now()

    def _report(self, sending: Send, error: Exception) -> None:
        fields = {"digest": sending.source.digest, "error": str(error)}
        log.note(Level.ERROR, "content cannot be read", fields)

    def _log(self, line: _Line) -> None:
        request = line.request
        log.access(
            method=request.method.decode("latin-1"),
            target=request.target.decode("latin-1"),
            status=line.status,
            sent=line.sent,
            seconds=perf_counter() - line.begun,
            client=self._client,
            agent=only(request.headers, b"user-agent"),
            cache=line.cache,
        )
