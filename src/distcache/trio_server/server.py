"""The server on trio: it takes in connections, serves them, and comes back to silence.

At the end, in this order: no new connection; idle ones close; answers under way have their
time; what is left is cut; transfers end; store jobs and the journal are waited for.
"""

import math
import socket
from contextlib import suppress

import trio

from ..core.events import Draining, Woke
from ..debugging import LAG_EVERY, Debugging
from ..driver import Service
from ..driver.hosting import reconfigure, say_stopped
from ..driver.listening import Listening
from ..driver.sockets import GoneError
from ..embedding import Config, settings_of
from ..settings import Settings
from .connection import Connection
from .fetch import open_fetcher
from .listening import accept
from .shell import Shell
from .timer import beat

DEBUG_CONNECTIONS = 64
"""Of operators and their tools at once."""


class Server:
    """Made by `open_server`. `stopping` is set by the first `stop`."""

    def __init__(
        self, settings: Settings, service: Service, listening: Listening, shell: Shell
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
