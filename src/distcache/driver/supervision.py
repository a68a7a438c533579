"""The service manager that started the process: what it is told, and the sockets it hands over.

systemd's protocols, which others speak as well: datagrams to $NOTIFY_SOCKET (sd_notify(3)) and
descriptors from 3 on that listen already (sd_listen_fds(3)). Without their variables nothing is
said and nothing taken.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Protocol

from .. import log
from ..settings import Level, Settings, SettingsError

FIRST = 3
"""The first descriptor handed over."""

_VARIABLES = (
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
)


class Supervisor:
    """Made once, before the process starts others: its variables are taken out of `environ`, as
    they are for this process alone. `sockets` belong to whoever takes them. OSError: what was
    handed over cannot be listened on."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        given = {name: environ.pop(name, "") for name in _VARIABLES}
        self._address = given["NOTIFY_SOCKET"]
        self.watch = _watch(given)
        """Seconds between two `alive`; None: nobody watches."""
        self.sockets = _handed_over(given)

    def ready(self) -> None:
        """It serves, for the first time or again."""
        self._tell("READY=1")

    def reloading(self) -> None:
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """The event loop comes round."""
        self._tell("WATCHDOG=1")

    def _tell(self, words: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        # A name in the abstract space begins with a zero byte, written as @.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        # A manager that does not listen is no reason not to serve.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.sendto(words.encode(), address)


class _Event(Protocol):
    def is_set(self) -> bool: ...


class Obedient(Protocol):
    """A server, as signals reach it."""

    @property
    def stopping(self) -> _Event: ...

    def stop(self, *, drain: float | None = None) -> None: ...

    def reload(self, config: Settings) -> bool: ...


def obey(
    number: int, server: Obedient, load: Callable[[], Settings], supervisor: Supervisor
) -> None:
    """SIGHUP has the configuration read again; any other signal stops the server, a second one
    cuts what still runs."""
    if number == signal.SIGHUP:
        _read_again(load, server, supervisor)
        return
    log.note(Level.INFO, "stopping", {"signal": signal.Signals(number).name})
    server.stop(drain=0 if server.stopping.is_set() else None)


def _read_again(load: Callable[[], Settings], server: Obedient, supervisor: Supervisor) -> None:
    """What `load` finds is taken up, the log's settings too. What is wrong is said, and the old
    configuration stays."""
    supervisor.reloading()
    try:
        settings = load()
        if server.reload(settings):
            log.configure(settings.log)
            log.note(Level.INFO, "configuration read again")
    except SettingsError as error:
        log.note(Level.ERROR, "the new configuration is wrong", {"error": str(error)})
    finally:
        supervisor.ready()


def _watch(given: MutableMapping[str, str]) -> float | None:
    if given["WATCHDOG_PID"] not in ("", str(os.getpid())):
        return None
    micros = given["WATCHDOG_USEC"]
    # Half of the time, as sd_watchdog_enabled(3) asks.
    return int(micros) / 2e6 if micros.isdecimal() and int(micros) else None


def _handed_over(given: MutableMapping[str, str]) -> list[socket.socket]:
    count = given["LISTEN_FDS"]
    if given["LISTEN_PID"] != str(os.getpid()) or not count.isdecimal():
        return []
    sockets: list[socket.socket] = []
    for fd in range(FIRST, FIRST + int(count)):
        os.set_inheritable(fd, False)
        one = socket.socket(fileno=fd)
        sockets.append(one)
        stream = one.type == socket.SOCK_STREAM
        if not stream or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(f"descriptor {fd} was handed over, but is no stream socket that listens")
    return sockets
