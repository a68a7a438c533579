"""The server on trio: from settings to a listening cache, and back to silence.

At the end, in this order: no new connection; idle ones close; answers under way have their
time; what is left is cut; transfers end; store jobs and the journal are waited for.
"""

import math
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import trio
from attrs import evolve

from .. import log
from ..core.cache import Cache
from ..core.events import Cause, Draining
from ..core.oci import Time
from ..driver import Clock, Driver, TokenCall, Transfer, Upstreams
from ..settings import Level, Settings, SettingsError
from ..store import Store, open_store
from ..wire.routes import Router
from .connection import Connection, Service
from .fetch import Fetcher, open_fetcher
from .listening import accept, listen
from .timer import Timer

T = TypeVar("T")


class Server:
    """Made by `open_server`. `stopping` is set by the first `stop`."""

    def __init__(self, settings: Settings, store: Store, listeners: list[socket.socket]) -> None:
        self._settings = settings
        self._listeners = listeners
        self._port: int = listeners[0].getsockname()[1]
        self._shell = _Shell()
        driver = Driver(
            Cache(settings.core, store.inventory),
            store,
            Upstreams(settings.sites, settings.credentials),
            Clock(trio.current_time),
            self._shell,
        )
        router = Router(settings.sites, settings.default)
        self._service = Service(driver, router, settings.client)
        self._connections: set[Connection] = set()
        self.stopping = trio.Event()
        self._ended = trio.Event()
        self._drain = math.inf
        self._clients: trio.CancelScope | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        host = self._settings.host or "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop` and a little longer, or until cancelled. Everything that was begun
        has ended when this returns."""
        driver, shell = self._service.driver, self._shell
        async with trio.open_nursery() as shell.jobs:
            try:
                await self._run_transfers(task_status)
            finally:
                driver.close()
        fields: dict[str, log.Value] = {
            "late_events": driver.late,
            "journal_failures": driver.journal_failures,
        }
        log.note(Level.INFO, "stopped", fields)
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

    def reload(self, settings: Settings) -> None:
        """Take up what can change in a running server, and say what cannot."""
        old = self._settings
        gone = old.sites.keys() - settings.sites.keys()
        if gone:
            names = ", ".join(sorted(gone))
            fields: dict[str, log.Value] = {"upstreams": names}
            log.note(Level.WARN, "nothing changed: to remove an upstream needs a restart", fields)
            return
        for name in ("host", "port", "root", "max_connections"):
            if getattr(settings, name) != getattr(old, name):
                log.note(Level.WARN, "not changed: this needs a restart", {"setting": name})
        kept = evolve(
            settings,
            host=old.host,
            port=old.port,
            root=old.root,
            max_connections=old.max_connections,
        )
        self._settings = kept
        upstreams = Upstreams(kept.sites, kept.credentials)
        self._service.driver.configure(kept.core, upstreams)
        self._service.router = Router(kept.sites, kept.default)
        self._service.timeouts = kept.client
        if self._shell.fetcher is not None:
            self._shell.fetcher.timeouts = kept.upstream
        log.configure(kept.log)
        log.note(Level.INFO, "configuration read again")

    async def _run_transfers(self, task_status: trio.TaskStatus[None]) -> None:
        shell, timeouts = self._shell, self._settings.upstream
        try:
            async with open_fetcher(timeouts) as shell.fetcher:
                await self._serve_clients(task_status)
        finally:
            shell.fetcher = None

    async def _serve_clients(self, task_status: trio.TaskStatus[None]) -> None:
        places = trio.Semaphore(self._settings.max_connections)
        async with trio.open_nursery() as background:
            background.start_soon(self._shell.timer.run, self._service.driver)
            async with trio.open_nursery() as clients:
                self._clients = clients.cancel_scope
                async with trio.open_nursery() as accepting:
                    for listener in self._listeners:
                        accepting.start_soon(accept, listener, places, clients, self._connect)
                    task_status.started()
                    await self.stopping.wait()
                    accepting.cancel_scope.cancel()
            background.cancel_scope.cancel()

    async def _connect(self, sock: socket.socket, client: str) -> None:
        connection = Connection(sock, client, self._service)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[Server]:
    """A server that listens; leaving the block stops it, gracefully unless by an exception.
    OSError: it cannot listen there. StoreError: the store cannot be used."""
    store = await trio.to_thread.run_sync(open_store, settings.root)
    try:
        server = Server(settings, store, listen(settings.host, settings.port))
        _announce(settings, store, server)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            yield server
            server.stop()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(store.close)


def run(load: Callable[[], Settings]) -> int:
    """Serve until SIGTERM or SIGINT; a second one cuts what still runs; SIGHUP calls `load`
    again. Returns the exit status. SettingsError, OSError, StoreError: it could not start."""
    settings = load()
    _raise_file_limit()
    trio.run(_main, settings, load)
    return 0


async def _main(settings: Settings, load: Callable[[], Settings]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            async with open_server(settings) as server:
                nursery.start_soon(_obey, signals, server, load)
                await server.stopping.wait()
            nursery.cancel_scope.cancel()


async def _obey(signals: AsyncIterator[int], server: Server, load: Callable[[], Settings]) -> None:
    stopping = False
    async for number in signals:
        if number == signal.SIGHUP:
            try:
                server.reload(load())
            except SettingsError as error:
                log.note(Level.ERROR, "the new configuration is wrong", {"error": str(error)})
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


def _announce(settings: Settings, store: Store, server: Server) -> None:
    swept = store.swept
    cap = settings.core.max_size
    fields: dict[str, log.Value] = {
        "address": server.url,
        "upstreams": " ".join(f"{key}={site.url}" for key, site in settings.sites.items()),
        "store": str(settings.root),
        "max_size": "none" if cap is None else cap,
        "max_connections": settings.max_connections,
    }
    if any((swept.spools, swept.adopted, swept.lost, swept.damaged, swept.orphans, swept.renewed)):
        log.note(Level.WARN, "the store was put in order", {"found": str(swept)})
    log.note(Level.INFO, "listening", fields)


def _raise_file_limit() -> None:
    """Each client has a descriptor, each transfer two; 1024 is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
