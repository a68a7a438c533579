"""The server on trio: it takes in connections, serves them, and comes back to silence.

At the end, in this order: no new connection; idle ones close; answers under way have their
time; what is left is cut; transfers end; store jobs and the journal are waited for.
"""

import math
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from ..core.events import Woke
from ..driver import Service
from ..driver.hosted import DEBUG_CONNECTIONS, LAG_EVERY, Hosted
from ..driver.hosting import say_stopped
from ..driver.listening import Listening
from ..driver.sockets import GoneError
from ..embedding import Config, settings_of
from ..settings import Settings
from .connection import Connection
from .fetch import open_fetcher
from .listening import accept
from .shell import Shell
from .timer import beat

if TYPE_CHECKING:
    from ..debugging import Debugging


class Server(Hosted[Connection]):
    """Made by `open_server`. `stopping` is set by the first `stop`."""

    def __init__(
        self, settings: Settings, service: Service, listening: Listening, shell: Shell
    ) -> None:
        super().__init__(settings, service, listening, shell)
        self._shell = shell
        self.stopping = trio.Event()
        self._ended = trio.Event()
        self._drain = math.inf
        self._clients: trio.CancelScope | None = None
        self._debugging: Debugging | None = None

    def tell(self, debugging: "Debugging", listening: Listening) -> None:
        """Before it runs: operators are told at `listening`."""
        self._debugging = debugging
        self._operating = listening

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
            self._retire()

    def reload(self, config: Config | Settings) -> bool:
        """Take up what can change in a running server, and say what cannot. False: nothing was.
        SettingsError."""
        return self._take_up(settings_of(config))

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
            background.start_soon(self._shell.hall.run)
            # What has become too old, or too much, while nobody served it.
            self._service.driver.feed(Woke())
            async with trio.open_nursery() as clients:
                self._clients = clients.cancel_scope
                async with trio.open_nursery() as accepting:
                    for listener in self._listening.sockets:
                        accepting.start_soon(accept, listener, places, clients, self._connect)
                    if self._debugging is not None and self._operating is not None:
                        background.start_soon(beat, LAG_EVERY, self._debugging.late)
                        few = trio.Semaphore(DEBUG_CONNECTIONS)
                        for listener in self._operating.sockets:
                            accepting.start_soon(accept, listener, few, clients, self._operate)
                    task_status.started()
                    await self.stopping.wait()
                    accepting.cancel_scope.cancel()
            background.cancel_scope.cancel()

    async def _operate(self, sock: socket.socket, client: str) -> None:
        assert self._debugging is not None
        with suppress(GoneError):
            await self._serve(Connection(sock, client, self._debugging.service, self._shell.hall))

    async def _connect(self, sock: socket.socket, client: str) -> None:
        crowd = self._service.crowd
        if not crowd.enter(client):
            sock.close()
            return
        try:
            with suppress(GoneError):
                await self._serve(Connection(sock, client, self._service, self._shell.hall))
        finally:
            crowd.leave(client)

    async def _serve(self, connection: Connection) -> None:
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
