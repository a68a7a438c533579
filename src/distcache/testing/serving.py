"""The scripted upstream's sockets: one thread that accepts, one for each connection."""

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import h11

from .rules import Cut, Hold
from .shelves import Answer, Request

HOST = "127.0.0.1"
READ = 64 * 1024
LARGEST_HEAD = 128 * 1024
"""Bytes; tokens of some registries are longer than h11's own 16 KiB."""


class Plan:
    """What is to become of one request. `holds` come in the order of their place."""

    def __init__(self, answer: Answer, holds: list[Hold], cut: Cut | None) -> None:
        self.answer = answer
        self.holds = sorted(holds, key=_place)
        self.cut = cut


Respond = Callable[[Request], Plan]
Complain = Callable[[Request | None, str], None]
"""Takes what is wrong with a request, None: with something that is none."""


class Server:
    """Listens from birth on `port`, any free one for 0, until `close`. OSError."""

    def __init__(self, port: int, respond: Respond, complain: Complain) -> None:
        self._respond = respond
        self._complain = complain
        self._listener = socket.create_server((HOST, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._closing = False
        self._live: dict[socket.socket, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept, name="upstream")
        self._acceptor.start()

    @property
    def closing(self) -> bool:
        return self._closing

    def close(self, wake: Callable[[], None]) -> None:
        """Refuse new connections, break those there are, and wait for every thread. `wake` is
        called once `closing` is true."""
        self._closing = True
        wake()
        # A blocked accept() is woken by a connection, on every system.
        with suppress(OSError):
            socket.create_connection((HOST, self.port)).close()
        self._acceptor.join()
        with self._lock:
            live = dict(self._live)
        for sock, thread in live.items():
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        with self._listener:
            while True:
                sock, _ = self._listener.accept()
                if self._closing:
                    sock.close()
                    return
                thread = threading.Thread(target=self._serve, args=(sock,), name="upstream")
                with self._lock:
                    self._live[sock] = thread
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with suppress(OSError):
                _Connection(sock, self).run()
        finally:
            with self._lock:
                del self._live[sock]
            sock.close()

    def plan(self, request: Request, body: int) -> Plan:
        """For a request with so many bytes of body."""
        if body:
            self._complain(request, f"has a body of {body} bytes")
        return self._respond(request)

    def refuse(self, error: h11.RemoteProtocolError) -> None:
        self._complain(None, str(error))


class _Connection:
    def __init__(self, sock: socket.socket, server: Server) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._server = server
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)

    def run(self) -> None:
        """Answer requests until either side ends the connection."""
        while (request := self._read()) is not None:
            if not self._answer(*request) or self._h11.our_state is not h11.DONE:
                return
            self._h11.start_next_cycle()

    def _read(self) -> tuple[Request, int] | None:
        """A request and the length of its body; None when the client is gone."""
        head: h11.Request | None = None
        body = 0
        try:
            while True:
                event = self._h11.next_event()
                if event is h11.NEED_DATA:
                    data = self._sock.recv(READ)
                    if not data:
                        return None  # also in the middle: whoever asked needs it no longer
                    self._h11.receive_data(data)
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += len(event.data)
                else:
                    assert head is not None
                    assert isinstance(event, h11.EndOfMessage)
                    return _request(head), body
        except h11.RemoteProtocolError as error:
            self._server.refuse(error)
            return None

    def _answer(self, request: Request, body: int) -> bool:
        """Whether the connection is still whole."""
        plan = self._server.plan(request, body)
        answer, cut = plan.answer, plan.cut
        if not self._passed(hold for hold in plan.holds if hold.after is None):
            return False
        if cut is not None and cut.after is None:
            return False
        headers = [*answer.headers.items()]
        if answer.status != 304:
            headers.append(("Content-Length", str(len(answer.body))))
        self._send(h11.Response(status_code=answer.status, headers=headers))
        data = b"" if request.method == "HEAD" else answer.body
        end = len(data)
        if cut is not None and cut.after is not None:
            end = max(min(cut.after, end - 1), 0)
        if not self._send_body(data[:end], plan.holds) or end < len(data):
            return False
        self._send(h11.EndOfMessage())
        return True

    def _send_body(self, data: bytes, holds: list[Hold]) -> bool:
        """Whether all of it was sent."""
        sent = 0
        for hold in holds:
            if hold.after is not None and data:
                self._send_part(data[sent : hold.after])
                sent = max(sent, min(hold.after, len(data)))
                if not self._passed([hold]):
                    return False
        self._send_part(data[sent:])
        return True

    def _passed(self, holds: Iterable[Hold]) -> bool:
        return all(hold.passed(lambda: self._server.closing) for hold in holds)

    def _send_part(self, data: bytes) -> None:
        if data:
            self._send(h11.Data(data=data))

    def _send(self, event: h11.Event) -> None:
        self._sock.sendall(self._h11.send(event) or b"")


def _place(hold: Hold) -> int:
    return -1 if hold.after is None else hold.after


def _request(head: h11.Request) -> Request:
    headers: dict[str, str] = {}
    for name, value in head.headers:
        key, text = name.decode("ascii"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    path, _, query = head.target.decode("ascii", "replace").partition("?")
    return Request(head.method.decode("ascii"), path, query, headers)
