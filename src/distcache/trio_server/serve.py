"""The cache on trio: put together from its settings, within a program or as one of its own."""

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing

import trio

from ..core.cache import Cache
from ..driver import OnDecision
from ..driver.hosting import announce, assemble, raise_file_limit, spare_the_collector
from ..driver.listening import open_debug, open_listening
from ..driver.supervision import Supervisor, obey
from ..driver.tracing import Tracing
from ..embedding import Config, settings_of
from ..settings import Settings
from ..store import open_store
from .server import Server
from .shell import Shell
from .timer import beat


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
        with closing(Shell()) as shell:
            core = Cache(settings.core, store.hand_over())
            service = assemble(
                settings, core, store, shell, trio.current_time, on_decision, tracing
            )
            listening = open_listening(settings, sockets)
            server = Server(settings, service, listening, shell)
            debugging = None
            if settings.debug is not None:
                from ..debugging import Debugging

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
                spare_the_collector()
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
    async for number in signals:
        obey(number, server, load, supervisor)
