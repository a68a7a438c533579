"""The server on asyncio: it takes in connections, serves them, and comes back to silence.

At the end, in this order: no new connection; idle ones close; answers under way have their
time; what is left is cut; transfers end; store jobs and the journal are waited for.
"""

import asyncio
import math
import socket
from typing import TYPE_CHECKING

from ..core.events import Woke
from ..driver import Ending, Service
from ..driver.hosted import DEBUG_CONNECTIONS, LAG_EVERY, Hosted
from ..driver.hosting import say_stopped
from ..driver.listening import Listening
from ..driver.sockets import GoneError
from ..embedding import Config, settings_of
from ..settings import Settings
from .connection import Connection
from .fetch import open_fetcher
from .listening import Listener
from .shell import Shell
from .timer import Beat

if TYPE_CHECKING:
    from ..debugging import Debugging


class Server(Hosted[Connection]):
    """Made by `open_server`. `stopping` is set by the first `stop`."""

    def __init__(
        self, settings: Settings, service: Service, listening: Listening, shell: Shell
    ) -> None:
        self._loop = asyncio.get_running_loop()
        super().__init__(settings, service, listening, shell)
        self._shell = shell
        self._listener = Listener(listening.sockets, settings.max_connections, self._connect)
        self.stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._drain = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._debugging: Debugging | None = None
        self._lag: Beat | None = None
        self._operators: Listener | None = None

    def tell(self, debugging: "Debugging", listening: Listening) -> None:
        """Before it runs: operators are told at `listening`."""
        self._debugging = debugging
        self._lag = Beat(LAG_EVERY, debugging.late)
        self._operating = listening
        self._operators = Listener(listening.sockets, DEBUG_CONNECTIONS, self._operate)

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
            self._retire()

    def reload(self, config: Config | Settings) -> bool:
        """Take up what can change in a running server, and say what cannot. False: nothing was.
        SettingsError."""
        return self._take_up(settings_of(config))

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
            connection.close(Ending.SHUTDOWN)

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
