"""The server on trio: from settings to a listening cache, and back to silence.

At the end, in this order: no new connection; idle ones close; answers under way have their
time; what is left is cut; transfers end; store jobs and the journal are waited for.
"""

import math
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import trio

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
from .listening import accept
from .timer import Timer, beat

T = TypeVar("T")

DEBUG_CONNECTIONS = 64
"""Of operators and their tools at once."""


class Server:
    """Made by `open_server`. `stopping` is set by the first `stop`."""

    def __init__(
        self, settings: Settings, service: Service, listening: Listening, shell: "_Shell"
    ) -> None:
        self._settings = settings
        self._service = service
        self._listening = listening
        self._shell = shell
        self._connections: set[Connection] = set()
        self.stopping = trio.Event()
        self._ended = trio.Event()
        self._drain = math.inf
        self._clients: trio.CancelScope | None = None
        self._debugging: tuple[Debugging, Listening] | None = None

    def tell(self, debugging: Debugging, listening: Listening) -> None:
        """Before it runs: operators are told at `listening`."""
        self._debugging = debugging, listening

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

    @property
    def debug_url(self) -> str | None:
        """The debug listener's, where there is one."""
        debug = self._settings.debug
        if self._debugging is None or debug is None:
            return None
        return self._debugging[1].url(debug.host)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop` and a little longer, or until cancelled. Everything that was begun
        has ended when this returns."""
        driver, shell = self._service.driver, self._shell
        async with trio.open_nursery() as shell.jobs:
            try:
                await self._run_transfers(task_status)
            finally:
                driver.close()
        say_stopped(driver)
        self._ended.set()

    async def aclose(self) -> None:
        """`stop`, and wait until it has. Cancelling hurries nothing: see `stop`."""
        self.stop()
        await self._ended.wait()

    def stop(self, *, drain: float | None = None) -> None:
        """Take no new connections; those under way have `drain` seconds, or the settings'.
        Again, with less: to hurry it."""
        allowed = self._settings.drain if drain is None else drain
        self._drain = min(self._drain, trio.current_time() + allowed)
        if self._clients is not None:
            self._clients.deadline = self._drain
        if not self.stopping.is_set():
            self.stopping.set()
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

    async def _run_transfers(self, task_status: trio.TaskStatus[None]) -> None:
        shell = self._shell
        try:
            async with open_fetcher() as shell.fetcher:
                await self._serve_clients(task_status)
        finally:
            shell.fetcher = None

    async def _serve_clients(self, task_status: trio.TaskStatus[None]) -> None:
        places = trio.Semaphore(self._settings.max_connections)
        async with trio.open_nursery() as background:
            background.start_soon(self._shell.timer.run, self._service.driver)
            # What has become too old, or too much, while nobody served it.
            self._service.driver.feed(Woke())
            async with trio.open_nursery() as clients:
                self._clients = clients.cancel_scope
                async with trio.open_nursery() as accepting:
                    for listener in self._listening.sockets:
                        accepting.start_soon(accept, listener, places, clients, self._connect)
                    if self._debugging is not None:
                        background.start_soon(beat, LAG_EVERY, self._debugging[0].late)
                        few = trio.Semaphore(DEBUG_CONNECTIONS)
                        for listener in self._debugging[1].sockets:
                            accepting.start_soon(accept, listener, few, clients, self._operate)
                    task_status.started()
                    await self.stopping.wait()
                    accepting.cancel_scope.cancel()
            background.cancel_scope.cancel()

    async def _operate(self, sock: socket.socket, client: str) -> None:
        assert self._debugging is not None
        with suppress(GoneError):
            await self._serve(Connection(sock, client, self._debugging[0].service))

    async def _connect(self, sock: socket.socket, client: str) -> None:
        crowd = self._service.crowd
        if not crowd.enter(client):
            sock.close()
            return
        try:
            with suppress(GoneError):
                await self._serve(Connection(sock, client, self._service))
        finally:
            crowd.leave(client)

    async def _serve(self, connection: Connection) -> None:
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)


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
    store = await trio.to_thread.run_sync(open_store, settings.root)
    try:
        shell = _Shell()
        core = Cache(settings.core, store.inventory)
        service = assemble(settings, core, store, shell, trio.current_time, on_decision, tracing)
        listening = open_listening(settings, sockets)
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
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(store.close)


@asynccontextmanager
async def _running(server: Server) -> AsyncIterator[None]:
    failed: Exception | KeyboardInterrupt | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        try:
            yield
            server.stop()
        except (Exception, KeyboardInterrupt) as error:
            # The program's own, which is not to come out of it in a group.
            failed = error
            nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


def run(load: Callable[[], Settings], tracing: Tracing | None = None) -> int:
    """Serve until SIGTERM or SIGINT; a second one cuts what still runs; SIGHUP calls `load`
    again. Returns the exit status. SettingsError, OSError, StoreError: it could not start."""
    settings = load()
    raise_file_limit()
    trio.run(_main, settings, load, Supervisor(os.environ), tracing)
    return 0


async def _main(
    settings: Settings,
    load: Callable[[], Settings],
    supervisor: Supervisor,
    tracing: Tracing | None,
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            async with open_server(settings, sockets=supervisor.sockets, tracing=tracing) as server:
                nursery.start_soon(_obey, signals, server, load, supervisor)
                if supervisor.watch is not None:
                    nursery.start_soon(beat, supervisor.watch, lambda late: supervisor.alive())
                supervisor.ready()
                await server.stopping.wait()
                supervisor.stopping()
            nursery.cancel_scope.cancel()


async def _obey(
    signals: AsyncIterator[int],
    server: Server,
    load: Callable[[], Settings],
    supervisor: Supervisor,
) -> None:
    stopping = False
    async for number in signals:
        if number == signal.SIGHUP:
            read_again(load, server.reload, supervisor)
            continue
        log.note(Level.INFO, "stopping", {"signal": signal.Signals(number).name})
        server.stop(drain=0 if stopping else None)
        stopping = True


class _Shell:
    """What the driver asks for. `jobs` outlives clients and transfers; without `fetcher` no
    transfer begins any more."""

    def __init__(self) -> None:
        self.timer = Timer()
        self.fetcher: Fetcher | None = None
        self.jobs: trio.Nursery | None = None

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
        assert self.jobs is not None
        self.jobs.start_soon(_run_job, job, then)

    def arm(self, deadline: Time | None) -> None:
        self.timer.arm(deadline)


async def _run_job(job: Callable[[], T], then: Callable[[T], None]) -> None:
    with trio.CancelScope(shield=True):
        then(await trio.to_thread.run_sync(job))
