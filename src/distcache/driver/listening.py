"""Sockets to be connected to, and what they are called."""

import errno
import os
import socket
import stat
from collections.abc import Sequence
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import quote

from attrs import Factory, define

from .. import log
from ..settings import Debug, Level, Settings
from ..wire import urls
from ..wire.urls import Zone

BACKLOG = 1024
"""Connections that the kernel keeps waiting; it lowers this to its own bound."""

BATCH = 64
"""Connections taken in at once; between batches the others get their turn."""

PAUSE = 0.1
"""Seconds without accepting when the system is out of descriptors or memory."""

OUT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What `accept` says then."""


@define(eq=False)
class Listening:
    """Sockets that listen, all on one port or on one path. `port` is 0 for a path. `secure`:
    clients must speak TLS. `lent`: a path stays when the sockets are closed."""

    sockets: list[socket.socket]
    port: int = 0
    path: Path | None = None
    secure: bool = False
    lent: bool = False

    def url(self, host: str | None) -> str:
        """Where a client on this machine finds it; for a path in the form of docker-py."""
        if self.path is not None:
            return f"http+unix://{quote(str(self.path), safe='')}"
        host = host or "127.0.0.1"
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def remove_path(self) -> None:
        """When the sockets are closed."""
        if self.path is not None and not self.lent:
            self.path.unlink(missing_ok=True)


def open_listening(settings: Settings, given: Sequence[socket.socket] = ()) -> Listening:
    """Where the settings say, or on the sockets that are `given`. OSError."""
    secure = settings.tls is not None
    if given:
        return _lent(list(given), secure)
    if settings.unix is not None:
        return Listening([_listen_on_path(settings.unix)], path=settings.unix, secure=secure)
    sockets = listen(settings.host, settings.port)
    return Listening(sockets, port=sockets[0].getsockname()[1], secure=secure)


def open_debug(debug: Debug) -> Listening:
    """For operators. OSError."""
    sockets = listen(debug.host, debug.port)
    return Listening(sockets, port=sockets[0].getsockname()[1])


@define(eq=False)
class Crowd:
    """Connections by where they come from: an address, or a network of 64 bits of IPv6, which is
    what one machine is given. `bound`: so many from one place, None: any number; but for this
    machine itself, with `spares_own`."""

    bound: int | None = None
    spares_own: bool = False
    _present: dict[str, int] = Factory(dict)
    _told: set[str] = Factory(set)

    def enter(self, client: str) -> bool:
        """`client` as `client_name` has it. False: there are too many from there already."""
        place = _place(client)
        present = self._present.get(place, 0)
        full = self.bound is not None and place and present >= self.bound
        if full and not (self.spares_own and _is_own(client)):
            if place not in self._told:
                # Once, until they are all gone: whoever knocks knocks often.
                self._told.add(place)
                fields: dict[str, log.Value] = {"client": place, "connections": present}
                log.note(Level.WARN, "too many connections from one address", fields)
            return False
        self._present[place] = present + 1
        return True

    def leave(self, client: str) -> None:
        """Once for each that has entered."""
        place = _place(client)
        self._present[place] -= 1
        if not self._present[place]:
            del self._present[place]
            self._told.discard(place)


def crowd_of(settings: Settings) -> Crowd:
    """Where nothing is said, a quarter of the places stays for others, and a proxy in front on
    this machine, behind which there may be anybody, has them all."""
    said = settings.max_connections_per_client
    if said is None:
        return Crowd(max(settings.max_connections * 3 // 4, 1), spares_own=True)
    return Crowd(said or None)


def listen(host: str | None, port: int) -> list[socket.socket]:
    """One socket for each address of the host, every interface without one. OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = socket.socket(family, kind, protocol)
            except OSError as error:
                if error.errno == errno.EAFNOSUPPORT and len(found) > 1:
                    continue  # a kernel without IPv6
                raise
            sockets.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited by what is accepted: small answers leave at once.
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(sockets) > 1:
                # Any port, but the same one for each family.
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            one.bind(address)
            one.listen(BACKLOG)
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


def client_name(address: object) -> str:
    """A peer's address for the log; a client on a path has none."""
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    return "unix"


def _is_own(client: str) -> bool:
    return urls.zone(client.rpartition(":")[0].partition("%")[0]) is Zone.LOOPBACK


def _place(client: str) -> str:
    """Empty for one on a path."""
    host = client.rpartition(":")[0]
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def _lent(sockets: list[socket.socket], secure: bool) -> Listening:
    address = sockets[0].getsockname()
    for one in sockets:
        one.setblocking(False)
        if one.family != socket.AF_UNIX:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sockets[0].family == socket.AF_UNIX:
        return Listening(sockets, path=Path(os.fsdecode(address)), secure=secure, lent=True)
    return Listening(sockets, port=address[1], secure=secure)


def _listen_on_path(path: Path) -> socket.socket:
    """The socket of a server that has gone is taken over, that of one that is there is not."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.setblocking(False)
        if _is_deserted(path):
            path.unlink()
        one.bind(os.fspath(path))
        one.listen(BACKLOG)
    except BaseException:
        one.close()
        raise
    return one


def _is_deserted(path: Path) -> bool:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(os.fspath(path)) == errno.ECONNREFUSED
