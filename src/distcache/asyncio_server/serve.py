"""The server on asyncio: from settings to a listening cache, and back to silence.

At the end, in this order: no new connection; idle ones close; answers under way have their
time; what is left is cut; transfers end; store jobs and the journal are waited for.
"""

import asyncio
import math
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from typing import Any, TypeVar

from .. import log
from ..core.cache import Cache
from ..core.events import Cause, Draining, Woke
from ..core.oci import Time
from ..debugging import LAG_EVERY, Debugging
from ..driver import OnDecision, Service, TokenCall, Transfer
from ..driver.hosting import announce, assemble, raise_file_limit, reconfigure, say_stopped
from ..driver.listening import Listening, open_debug, open_listening
from ..driver.sockets import GoneError
from ..driver.supervision import Supervisor, read_again
from ..driver.tracing import Tracing
from ..embedding import Config, settings_of
from ..settings import Level, Settings
from ..store import open_store
from .connection import Connection
from .fetch import Fetcher, open_fetcher
from .listening import Listener
from .poller import Poller
from .shielding import in_thread, until_done
from .timer import Beat, Timer

T = TypeVar("T")

DEBUG_CONNECTIONS = 64
"""Of operators and their tools at once."""

JOBS = 8
"""Threads for commits, deletions, the index and the opening of files."""


class Server:
    """Made by `open_server`. `stopping` is set by the first `stop`."""

    def __init__(
        self, settings: Settings, service: Service, listening: Listening, shell: "_Shell"
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._service = service
        self._listening = listening
        self._shell = shell
        self._listener = Listener(listening.sockets, settings.max_connections, self._connect)
        self._connections: set[Connection] = set()
        self.stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._drain = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._debugging: Debugging | None = None
        self._lag: Beat | None = None
        self.debug_url: str | None = None
        """The debug listener's, where there is one."""
        self._operators: Listener | None = None

    def tell(self, debugging: Debugging, listening: Listening) -> None:
        """Before it runs: operators are told at `listening`."""
        self._debugging = debugging
        self._lag = Beat(LAG_EVERY, debugging.late)
        debug = self._settings.debug
        self.debug_url = None if debug is None else listening.url(debug.host)
        self._operators = Listener(listening.sockets, DEBUG_CONNECTIONS, self._operate)

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def port(self) -> int:
        """0 when it listens on a path."""
        return self._listening.port

    @property
    def url(self) -> str:
        return self._listening.url(self._settings.host)

    async def run(self) -> None:
        """Serve until `stop` and a little longer. Everything that was begun has ended when this
        returns, cancelled or not: a cancellation cuts, and is raised at the end."""
        driver, shell = self._service.driver, self._shell
        try:
            async with open_fetcher(shell.poller) as shell.fetcher:
                shell.timer.start(driver)
                # What has become too old, or too much, while nobody served it.
                driver.feed(Woke())
                self._listener.start()
                if self._operators is not None and self._lag is not None:
                    self._operators.start()
                    self._lag.start()
                try:
                    await self._serve_clients()
                finally:
                    self._leave_clients()
        finally:
            shell.fetcher = None
            try:
                await shell.finish()
            finally:
                driver.close()
                await shell.finish()
                say_stopped(driver)
                self.stopping.set()
                self._ended.set()

    async def aclose(self) -> None:
        """`stop`, and wait until it has. Cancelling hurries nothing: see `stop`."""
        self.stop()
        await self._ended.wait()

    def stop(self, *, drain: float | None = None) -> None:
        """Take no new connections; those under way have `drain` seconds, or the settings'.
        Again, with less: to hurry it."""
        if self._ended.is_set():
            return
        allowed = self._settings.drain if drain is None else drain
        self._drain = min(self._drain, self._loop.time() + allowed)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._drain, self._leave_clients)
        if not self.stopping.is_set():
            self.stopping.set()
            self._close_listeners()
            self._service.draining = True
            self._service.driver.feed(Draining())
            for connection in list(self._connections):
                connection.retire()

    def reload(self, config: Config | Settings) -> bool:
        """Take up what can change in a running server, and say what cannot. False: nothing was.
        SettingsError."""
        kept = reconfigure(self._service, self._settings, settings_of(config))
        if kept is None:
            return False
        self._settings = kept
        if self._shell.fetcher is not None:
            self._shell.fetcher.renew()
        return True

    def _close_listeners(self) -> None:
        self._listener.close()
        if self._operators is not None:
            self._operators.close()

    async def _serve_clients(self) -> None:
        await self.stopping.wait()
        while self._connections:
            self._changed.clear()
            await self._changed.wait()

    def _leave_clients(self) -> None:
        self._shell.timer.stop()
        if self._lag is not None:
            self._lag.stop()
        self._close_listeners()
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.close()

    def _operate(self, sock: socket.socket, client: str) -> None:
        assert self._debugging is not None
        service, poller = self._debugging.service, self._shell.poller
        try:
            connection = Connection(sock, client, service, poller, self._operated)
        except GoneError:
            assert self._operators is not None
            self._operators.ended()
            return
        if not connection.closed:
            self._connections.add(connection)

    def _operated(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._changed.set()
        assert self._operators is not None
        self._operators.ended()

    def _connect(self, sock: socket.socket, client: str) -> None:
        if not self._service.crowd.enter(client):
            sock.close()
            self._listener.ended()
            return
        try:
            connection = Connection(
                sock, client, self._service, self._shell.poller, self._disconnected
            )
        except GoneError:
            self._service.crowd.leave(client)
            self._listener.ended()
            return
        if not connection.closed:
            self._connections.add(connection)

    def _disconnected(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._service.crowd.leave(connection.client)
        self._changed.set()
        self._listener.ended()


@asynccontextmanager
async def open_server(
    config: Config | Settings,
    *,
    on_decision: OnDecision | None = None,
    sockets: Sequence[socket.socket] = (),
    tracing: Tracing | None = None,
) -> AsyncIterator[Server]:
    """A server that listens; leaving the block stops it, gracefully unless by an exception.
    `on_decision` is called for each answered pull, on the loop's thread. `sockets` that listen
    already are taken over and closed at the end. `tracing`: a `distcache.tracing.OpenTelemetry`.
    Signals and the set-up of logging are the program's. SettingsError: the configuration is
    wrong. OSError: it cannot listen there. StoreError: the store cannot be used."""
    settings = settings_of(config)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(JOBS, "distcache-store") as executor:
        store = await in_thread(executor, lambda: open_store(settings.root))
        try:
            listening = open_listening(settings, sockets)
            with closing(_Shell(executor)) as shell:
                core = Cache(settings.core, store.inventory)
                service = assemble(settings, core, store, shell, loop.time, on_decision, tracing)
                server = Server(settings, service, listening, shell)
                debugging = None
                if settings.debug is not None:
                    debugging = Debugging(settings, core, service, lambda: server.connections)
                    server.tell(debugging, open_debug(settings.debug))
                announce(settings, store, server.url)
                try:
                    async with _running(server):
                        yield server
                finally:
                    listening.remove_path()
                    if debugging is not None:
                        debugging.close()
        finally:
            await in_thread(executor, store.close)


@asynccontextmanager
async def _running(server: Server) -> AsyncIterator[None]:
    # A task of its own: what cancels the block must not cancel the end of what was begun.
    task = asyncio.ensure_future(server.run())
    try:
        yield
        server.stop()
        await asyncio.wait((task,))
    finally:
        server.stop(drain=0)
        await until_done(task)
    task.result()


def run(load: Callable[[], Settings], tracing: Tracing | None = None) -> int:
    """Serve until SIGTERM or SIGINT; a second one cuts what still runs; SIGHUP calls `load`
    again. Returns the exit status. SettingsError, OSError, StoreError: it could not start."""
    settings = load()
    raise_file_limit()
    asyncio.run(_main(settings, load, Supervisor(os.environ), tracing))
    return 0


async def _main(
    settings: Settings,
    load: Callable[[], Settings],
    supervisor: Supervisor,
    tracing: Tracing | None,
) -> None:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    # Until the server is there, signals wait.
    pending: list[signal.Signals] = []
    for number in numbers:
        loop.add_signal_handler(number, pending.append, number)
    watched = Beat(supervisor.watch, lambda late: supervisor.alive())
    try:
        async with open_server(settings, sockets=supervisor.sockets, tracing=tracing) as server:
            watched.start()
            supervisor.ready()

            def obey(number: signal.Signals) -> None:
                if number == signal.SIGHUP:
                    read_again(load, server.reload, supervisor)
                    return
                log.note(Level.INFO, "stopping", {"signal": number.name})
                server.stop(drain=0 if server.stopping.is_set() else None)

            for number in numbers:
                loop.add_signal_handler(number, obey, number)
            for number in pending:
                obey(number)
            await server.stopping.wait()
            supervisor.stopping()
            await server.aclose()
    finally:
        watched.stop()
        for number in numbers:
            loop.remove_signal_handler(number)


class _Shell:
    """What the driver asks for. Without `fetcher` no transfer begins any more."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.timer = Timer()
        self.poller = Poller()
        self.fetcher: Fetcher | None = None
        self._executor = executor
        self._jobs: set[asyncio.Future[Any]] = set()

    def start_fetch(self, transfer: Transfer) -> None:
        if self.fetcher is None:
            transfer.fail(Cause.CANCELLED)
        else:
            self.fetcher.start_fetch(transfer)

    def start_token(self, call: TokenCall) -> None:
        if self.fetcher is None:
            call.fail(Cause.CANCELLED)
        else:
            self.fetcher.start_token(call)

    def run_job(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        future = asyncio.get_running_loop().run_in_executor(self._executor, job)
        self._jobs.add(future)

        def done(future: asyncio.Future[T]) -> None:
            self._jobs.discard(future)
            then(future.result())

        future.add_done_callback(done)

    def arm(self, deadline: Time | None) -> None:
        self.timer.arm(deadline)

    def close(self) -> None:
        self.poller.close()

    async def finish(self) -> None:
        """Until no job is left, nor any that one of them led to; a cancellation waits as long."""
        cancelled = False
        while self._jobs:
            try:
                await asyncio.wait(self._jobs)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError
