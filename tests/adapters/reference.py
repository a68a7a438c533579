"""The simplest adapter there can be: threads, blocking sockets, one lock. No event loop and no
httpcore, so that what the contract asks of adapters is not what those happen to do.
"""

import http.client
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from attrs import define, field

from distcache.core.events import Cause, Draining, Woke
from distcache.core.oci import Time
from distcache.driver import (
    Clock,
    Dialogue,
    Driver,
    Pause,
    SendFile,
    Service,
    TokenCall,
    Transfer,
    Upstreams,
    cause_of,
    sockets,
)
from distcache.driver.listening import listen
from distcache.driver.sockets import GoneError, SourceError
from distcache.store import open_store
from distcache.wire.outgoing import HttpRequest
from distcache.wire.routes import Router
from tests.adapters.harness import Run, Running
from tests.adapters.recording import Ledger, RecordingCache
from tests.adapters.scripted import PATIENCE

T = TypeVar("T")


@define(eq=False)
class Shell:
    """Work in threads, each of which takes the lock to tell of it."""

    lock: threading.RLock = field(factory=threading.RLock)
    threads: set[threading.Thread] = field(factory=set)
    deadline: Time | None = None
    moved: threading.Condition = field(init=False)
    sockets: set[socket.socket] = field(factory=set)
    ended: bool = False

    def __attrs_post_init__(self) -> None:
        self.moved = threading.Condition(self.lock)

    def spawn(self, work: Callable[[], None]) -> None:
        def body() -> None:
            try:
                work()
            finally:
                with self.lock:
                    self.threads.discard(thread)
                    self.moved.notify_all()

        thread = threading.Thread(target=body)
        self.threads.add(thread)
        thread.start()

    def run_job(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        def work() -> None:
            done = job()
            with self.lock:
                then(done)

        self.spawn(work)

    def arm(self, deadline: Time | None) -> None:
        self.deadline = deadline
        self.moved.notify_all()

    def start_fetch(self, transfer: Transfer) -> None:
        self.spawn(lambda: self._fetch(transfer))

    def start_token(self, call: TokenCall) -> None:
        self.spawn(lambda: self._token(call))

    def _fetch(self, transfer: Transfer) -> None:
        try:
            with self._connected(transfer.sent) as connection:
                self._take(transfer, connection)
        except Exception as error:
            with self.lock:
                transfer.fail(cause_of(error) or _cause(error))

    def _take(self, transfer: Transfer, connection: http.client.HTTPConnection) -> None:
        sock = connection.sock
        with self.lock:
            if transfer.cancelled or self.ended:
                transfer.fail(Cause.CANCELLED)
                return
            transfer.stop = lambda: _tear(sock)
        answer = _ask(connection, transfer.sent)
        freed = threading.Condition(self.lock)
        with answer, self.lock:
            headers = [(n.encode(), v.encode()) for n, v in answer.getheaders()]
            if not transfer.head(answer.status, headers):
                transfer.end(transfer.conclude())
                return
            assert transfer.spool is not None
            transfer.spool.on_room = freed.notify_all
            left = answer.length
            while piece := self._aside(lambda: answer.read1(256 * 1024)):
                left = None if left is None else left - len(piece)
                view = memoryview(piece)
                while view and not transfer.cancelled:
                    room = transfer.room()
                    if room == 0:
                        freed.wait(0.05)  # or it is cancelled, or all is over
                        if self.ended:
                            raise ConnectionError
                        continue
                    part, view = view[:room], view[len(view[:room]) :]
                    transfer.spooled(self._aside(partial(transfer.take, [part])))
            if left:
                raise ConnectionError
            transfer.end(self._aside(transfer.conclude))

    def _aside(self, work: Callable[[], T]) -> T:
        """Without the lock."""
        self.lock.release()
        try:
            return work()
        finally:
            self.lock.acquire()

    def _token(self, call: TokenCall) -> None:
        try:
            with self._connected(call.sent) as connection, _ask(connection, call.sent) as answer:
                body = answer.read()
                headers = [(n.encode(), v.encode()) for n, v in answer.getheaders()]
            with self.lock:
                call.answer(answer.status, headers, body)
        except Exception as error:
            with self.lock:
                call.fail(_cause(error))

    @contextmanager
    def _connected(self, sent: HttpRequest) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection(sent.url.host, sent.url.port, timeout=PATIENCE)
        connection.connect()
        with self.lock:
            self.sockets.add(connection.sock)
            if self.ended:
                _tear(connection.sock)
        try:
            yield connection
        finally:
            with self.lock:
                self.sockets.discard(connection.sock)
            connection.close()


def _ask(connection: http.client.HTTPConnection, sent: HttpRequest) -> http.client.HTTPResponse:
    connection.putrequest(sent.method, sent.url.target, skip_host=True, skip_accept_encoding=True)
    for name, value in sent.headers:
        connection.putheader(name.decode(), value.decode())
    connection.endheaders()
    return connection.getresponse()


def _tear(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _cause(error: Exception) -> Cause:
    return Cause.UNREACHABLE if isinstance(error, ConnectionRefusedError) else Cause.CUT


class Connection:
    """One client, on a thread that does one step after the other."""

    def __init__(self, sock: socket.socket, client: str, service: Service, shell: Shell) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._shell = shell
        self._woken, self._waker = socket.socketpair()
        self._ended = False
        with shell.lock:
            self.dialogue = Dialogue(client, service, self.wake)

    def wake(self) -> None:
        # The thread may have ended on its own since its caller looked: nobody is left to wake.
        with suppress(OSError):
            self._waker.send(b"!")

    def end(self) -> None:
        self._ended = True
        self.wake()

    def run(self) -> None:
        try:
            while not self._ended and self._do():
                pass
        except GoneError:
            pass
        finally:
            with self._shell.lock:
                reset = self.dialogue.close()
            sockets.close(self._socket, reset=reset)
            self._woken.close()
            self._waker.close()

    def _do(self) -> bool:
        with self._shell.lock:
            step = self.dialogue.step()
        if isinstance(step, bytes):
            self._write(step)
        elif isinstance(step, SendFile):
            self._write(step.before)
            try:
                while step.start < step.stop:
                    self._wait(writing=True)
                    step.start += sockets.send_file(self._socket, step.fd, step.start, step.stop)
            except SourceError as error:
                with self._shell.lock:
                    self.dialogue.lost(error)
        elif step is Pause.LINGER:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
                while self._wait(reading=True) and sockets.receive(self._socket):
                    pass
            return False
        elif step is Pause.END:
            return False
        elif self._wait(reading=not self.dialogue.full):
            data = sockets.receive(self._socket)
            if data is not None:
                with self._shell.lock:
                    self.dialogue.receive(data)
        return True

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._wait(writing=True)
            view = view[sockets.send(self._socket, view) :]

    def _wait(self, *, reading: bool = False, writing: bool = False) -> bool:
        """Whether the socket is ready, and not only we woken. GoneError: it is all over."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(
            self._socket,
            (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0),
        )
        found = {fd for fd, _ in poll.poll(PATIENCE * 1000)}
        if self._woken.fileno() in found:
            self._woken.recv(4096)
        if self._ended:
            raise GoneError
        return self._socket.fileno() in found


@define(eq=False)
class Reference:
    service: Service
    shell: Shell
    ledger: Ledger
    listener: socket.socket
    connections: set[Connection] = field(factory=set)
    port: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.port = self.listener.getsockname()[1]
        self.listener.setblocking(True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, act: Callable[[], T]) -> T:
        with self.shell.lock:
            return act()

    def stop(self, drain: float | None = None) -> None:
        with self.shell.lock:
            _tear(self.listener)
            if not self.service.draining:
                self.service.draining = True
                self.service.driver.feed(Draining())
            for one in list(self.connections):
                if one.dialogue.idle or drain == 0:
                    one.end()

    def accept(self, places: threading.Semaphore) -> None:
        with suppress(OSError):
            while True:
                places.acquire()
                one, address = self.listener.accept()
                connection = Connection(one, f"{address[0]}", self.service, self.shell)
                with self.shell.lock:
                    self.connections.add(connection)
                    self.shell.spawn(partial(self._serve, connection, places))
                    if self.service.draining:
                        connection.end()

    def _serve(self, connection: Connection, places: threading.Semaphore) -> None:
        try:
            connection.run()
        finally:
            places.release()
            with self.shell.lock:
                self.connections.discard(connection)
                self.shell.moved.notify_all()

    def keep_time(self) -> None:
        with self.shell.lock:
            while not self.shell.ended:
                at = self.shell.deadline
                now = self.service.driver.clock.now()
                if at is not None and now >= at:
                    self.service.driver.feed(Woke())
                else:
                    self.shell.moved.wait(None if at is None else at - now)

    def finish(self) -> None:
        """Connections first, then transfers, then jobs."""
        shell = self.shell
        with shell.lock:
            while self.connections:
                shell.moved.wait(PATIENCE)
            shell.ended = True
            shell.moved.notify_all()
            for one in shell.sockets:
                _tear(one)
            while shell.threads:
                assert shell.moved.wait(PATIENCE), shell.threads
            self.service.driver.close()
            while shell.threads:
                assert shell.moved.wait(PATIENCE), shell.threads


@contextmanager
def on_threads(run: Run) -> Iterator[Running]:
    store = open_store(run.settings.root)
    run.prepare(store)
    core = RecordingCache(run.settings.core, store.inventory)
    shell = Shell()
    settings = run.settings
    clock = Clock(time.monotonic)
    upstreams = Upstreams(settings.sites, settings.credentials)
    driver = Driver(core, store, upstreams, clock, shell)
    router = Router(settings.sites, settings.default)
    service = Service(driver, router, settings.client, time.monotonic, run.on_decision)
    (listener,) = listen(settings.host, settings.port)
    server = Reference(service, shell, core.ledger, listener)
    places = threading.Semaphore(settings.max_connections)
    shell.spawn(server.keep_time)
    accepting = threading.Thread(target=server.accept, args=(places,))
    accepting.start()
    try:
        yield server
    except BaseException:
        server.stop(drain=0)
        raise
    finally:
        server.stop()
        places.release()
        accepting.join(PATIENCE)
        listener.close()
        server.finish()
        store.close()
