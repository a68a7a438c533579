"""A server that runs, as far as it waits for nothing: what it is asked and told on any loop."""

from typing import Generic, Protocol, TypeVar

from ..core.events import Cause, Draining
from ..settings import Settings
from .hosting import reconfigure
from .listening import Listening
from .service import Service
from .transfers import TokenCall, Transfer

LAG_EVERY = 1.0
"""Seconds between two looks at how late the event loop is."""

DEBUG_CONNECTIONS = 64
"""Of operators and their tools at once."""


class Fetcher(Protocol):
    """Does what is asked of upstreams, until it is done with."""

    def start_fetch(self, transfer: Transfer) -> None: ...

    def start_token(self, call: TokenCall) -> None: ...

    def renew(self) -> None:
        """From now on connections are new, and certificates as they are in their files."""


class Fetching:
    """The part of `Shell` that begins transfers: none without `fetcher`."""

    def __init__(self) -> None:
        self.fetcher: Fetcher | None = None

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

    def renew(self) -> None:
        if self.fetcher is not None:
            self.fetcher.renew()


class Retiring(Protocol):
    """A client's connection."""

    def retire(self) -> None:
        """End it if it waits for a first byte; an answer under way is its last anyway."""


ConnectionT = TypeVar("ConnectionT", bound=Retiring)


class Hosted(Generic[ConnectionT]):
    """Its addresses, its connections, its configuration."""

    def __init__(
        self, settings: Settings, service: Service, listening: Listening, fetching: Fetching
    ) -> None:
        self._settings = settings
        self._service = service
        self._listening = listening
        self._fetching = fetching
        self._operating: Listening | None = None
        self._connections: set[ConnectionT] = set()

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
        if self._operating is None or debug is None:
            return None
        return self._operating.url(debug.host)

    def _retire(self) -> None:
        """Begin nothing new."""
        self._service.draining = True
        self._service.driver.feed(Draining())
        for connection in list(self._connections):
            connection.retire()

    def _take_up(self, settings: Settings) -> bool:
        """What can change in a running server; what cannot is said. False: nothing was."""
        kept = reconfigure(self._service, self._settings, settings)
        if kept is None:
            return False
        self._settings = kept
        self._fetching.renew()
        return True
