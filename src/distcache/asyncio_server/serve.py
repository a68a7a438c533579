"""The cache on asyncio: put together from its settings, within a program or as one of its own."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing

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
from .shielding import in_thread, until_done
from .timer import Beat

JOBS = 8
"""Threads for commits, deletions, the index and the opening of files."""


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
            with closing(Shell(executor)) as shell:
                core = Cache(settings.core, store.hand_over())
                service = assemble(settings, core, store, shell, loop.time, on_decision, tracing)
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
            spare_the_collector()
            watched.start()
            supervisor.ready()
            for number in numbers:
                loop.add_signal_handler(number, obey, number, server, load, supervisor)
            for number in pending:
                obey(number, server, load, supervisor)
            await server.stopping.wait()
            supervisor.stopping()
            await server.aclose()
    finally:
        watched.stop()
        for number in numbers:
            loop.remove_signal_handler(number)
