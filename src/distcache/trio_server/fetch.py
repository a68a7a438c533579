"""Requests to upstream, over httpcore: one pool of connections for each upstream.

Each started fetch feeds exactly one terminal event, each token request too, also when it is
cancelled.
"""

import logging
import ssl
from collections.abc import Iterable

import httpcore
import trio
from attrs import define

from ..core.effects import AcquireToken, Fetch, UpstreamRequest
from ..core.events import (
    BodySpooled,
    Cause,
    FetchEnded,
    FetchFailed,
    HeadReceived,
    TokenGranted,
    TokenRefused,
)
from ..core.oci import Content, Document, TagRef
from ..driver import Driver, Held, cause_of
from ..settings import Settings
from ..store import FileSpool, MemorySpool, StoreError, TooLarge, WindowSpool
from ..wire import challenge, oci_json, upstream
from ..wire.headers import Headers, only
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite

log = logging.getLogger("distcache")

CHUNKS = 32
"""Pieces of 64 KiB (what httpcore reads at once) that may wait for the disk."""

REST = 64 * 1024
"""Bytes of an unwanted body that are read so that the connection can be used again."""

REST_TIME = 1.0
"""Seconds to wait for them."""

TOKEN_LIMIT = 1024 * 1024
"""Bytes of a token service's answer."""

_CAUSES: Iterable[tuple[type[Exception], Cause]] = (
    (httpcore.TimeoutException, Cause.TIMEOUT),
    (httpcore.ConnectError, Cause.UNREACHABLE),
    (httpcore.UnsupportedProtocol, Cause.UNREACHABLE),
    (ssl.SSLError, Cause.UNREACHABLE),
    (TooLarge, Cause.TOO_LARGE),
    (AssertionError, Cause.REFUSED),
)


@define(eq=False)
class _Running:
    scope: trio.CancelScope
    at_head: bool = False
    cancelled: bool = False


class Upstreams:
    """`nursery` runs the requests."""

    def __init__(self, settings: Settings, driver: Driver, nursery: trio.Nursery) -> None:
        self._settings = settings
        self._driver = driver
        self._nursery = nursery
        self._running: dict[int, _Running] = {}
        self._pools = {key: _pool(site) for key, site in settings.sites.items()}

    def start_fetch(self, fetch: Fetch, held: Held | None) -> None:
        self._running[fetch.fetch] = _Running(trio.CancelScope())
        self._nursery.start_soon(self._fetch, fetch, held)

    def cancel_fetch(self, number: int) -> None:
        running = self._running.get(number)
        if running is not None:
            running.cancelled = True
            if not running.at_head:
                running.scope.cancel()

    def start_token(self, acquire: AcquireToken) -> None:
        self._nursery.start_soon(self._token, acquire)

    async def aclose(self) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + REST_TIME):
            for pool in self._pools.values():
                await pool.aclose()

    async def _fetch(self, fetch: Fetch, held: Held | None) -> None:
        running = self._running[fetch.fetch]
        end: FetchEnded | FetchFailed = FetchFailed(fetch.fetch, Cause.CANCELLED)
        try:
            with running.scope:
                end = await self._exchange(fetch, held, running)
        except Exception as error:
            end = FetchFailed(fetch.fetch, _cause(error))
        finally:
            del self._running[fetch.fetch]
            if held is not None:
                self._driver.release(held)
            self._driver.feed(end)

    async def _exchange(self, fetch: Fetch, held: Held | None, running: _Running) -> FetchEnded:
        key = fetch.request.repository.upstream
        site, now = self._settings.sites[key], self._driver.clock.now()
        sent = upstream.request(site, fetch.request, self._settings.credentials.get(key))
        timeouts = self._timeouts()
        async with self._pools[key].stream(
            sent.method, _url(sent), headers=list(sent.headers), extensions={"timeout": timeouts}
        ) as response:
            timeouts["read"] = self._settings.idle
            headers = _lower(response.headers)
            head = upstream.head(site, sent, response.status, headers, now)
            running.at_head = True
            self._driver.feed(HeadReceived(fetch.fetch, head))
            running.at_head = False
            if running.cancelled or held is None:
                await _read_rest(response)
                return FetchEnded(fetch.fetch)
            start = head.start if head.status == 206 else 0
            await _Transfer(self._driver, fetch.fetch, held, start).run(response)
            document = _document(fetch.request, held, headers)
            return FetchEnded(fetch.fetch, held.body.digest(), document)

    async def _token(self, acquire: AcquireToken) -> None:
        event: TokenGranted | TokenRefused
        event = TokenRefused(acquire.request, None, Cause.CANCELLED)
        try:
            answer = await self._ask_for_token(acquire)
            if isinstance(answer, challenge.Grant):
                event = TokenGranted(acquire.request, answer.token, answer.expires_in)
            else:
                event = TokenRefused(
                    acquire.request, answer.status, answer.cause, answer.retry_after
                )
        except Exception as error:
            event = TokenRefused(acquire.request, None, _cause(error))
        finally:
            self._driver.feed(event)

    async def _ask_for_token(self, acquire: AcquireToken) -> challenge.Grant | challenge.Refusal:
        credentials = self._settings.credentials.get(acquire.upstream)
        sent = challenge.token_request(acquire.challenge, credentials)
        async with self._pools[acquire.upstream].stream(
            sent.method,
            _url(sent),
            headers=list(sent.headers),
            extensions={"timeout": self._timeouts()},
        ) as response:
            body = bytearray()
            async for piece in response.aiter_stream():
                body += piece
                if len(body) > TOKEN_LIMIT:
                    raise TooLarge("the token service's answer")
            now = self._driver.clock.now()
            headers = _lower(response.headers)
            return challenge.token_answer(response.status, headers, bytes(body), now)

    def _timeouts(self) -> dict[str, float]:
        s = self._settings
        return {"connect": s.connect, "read": s.headers, "write": s.headers, "pool": s.headers}


class _Transfer:
    """A body on its way into its spool: while a thread writes and hashes what came, the next
    pieces are read."""

    def __init__(self, driver: Driver, fetch: int, held: Held, start: int) -> None:
        self._driver = driver
        self._fetch = fetch
        self._held = held
        self._at = start

    async def run(self, response: httpcore.Response) -> None:
        error: Exception | None = None
        send, receive = trio.open_memory_channel[bytes](CHUNKS)
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                nonlocal error
                with send:
                    try:
                        async for piece in response.aiter_stream():
                            await send.send(piece)
                    except Exception as caught:
                        # What came before it is kept: the next attempt goes on from there.
                        error = caught

            nursery.start_soon(read)
            try:
                async for piece in receive:
                    pieces = [piece]
                    while receive.statistics().current_buffer_used:
                        pieces.append(receive.receive_nowait())
                    await self._take(b"".join(pieces))
            except Exception as caught:
                error = caught
                nursery.cancel_scope.cancel()
        if error is not None:
            raise error

    async def _take(self, data: bytes) -> None:
        body = self._held.body
        view = memoryview(data)
        while view:
            piece = view
            if isinstance(body, WindowSpool):
                piece = view[: await self._room(body)]
            if isinstance(body, FileSpool):
                length = await trio.to_thread.run_sync(body.write, self._at, piece)
            else:
                length = body.write(self._at, piece)
            self._at += len(piece)
            view = view[len(piece) :]
            self._driver.feed(BodySpooled(self._fetch, length))

    async def _room(self, body: WindowSpool) -> int:
        """Bytes from here on that the window takes; waits until there are some."""
        while (room := body.length + body.room() - self._at) <= 0:
            event = trio.Event()
            self._held.wake_writer = event.set
            await event.wait()
        return room


def _pool(site: UpstreamSite) -> httpcore.AsyncConnectionPool:
    context = ssl.create_default_context()
    if site.ca is not None:
        context.load_verify_locations(site.ca)
    return httpcore.AsyncConnectionPool(
        ssl_context=context,
        max_connections=None,
        max_keepalive_connections=16,
        keepalive_expiry=30.0,
    )


def _url(sent: HttpRequest) -> httpcore.URL:
    url = sent.url
    return httpcore.URL(
        scheme=url.scheme.encode(),
        host=url.host.encode(),
        port=url.port,
        target=url.target.encode(),
    )


def _lower(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.lower(), value) for name, value in headers)


async def _read_rest(response: httpcore.Response) -> None:
    rest = 0
    with trio.move_on_after(REST_TIME):
        async for piece in response.aiter_stream():
            rest += len(piece)
            if rest > REST:
                return


def _document(asked: UpstreamRequest, held: Held, headers: Headers) -> Document | None:
    body = held.body
    if not isinstance(body, MemorySpool):
        return None
    data, kind = body.read(0, body.length), only(headers, b"content-type")
    resource = asked.resource
    if isinstance(resource, Content | TagRef):
        return oci_json.parse_manifest(data, kind)
    return oci_json.parse_listing(
        data, kind, resource, upstream.next_page(headers), upstream.filters(headers)
    )


def _cause(error: Exception) -> Cause:
    if isinstance(error, StoreError):
        return cause_of(error)
    for kind, cause in _CAUSES:
        if isinstance(error, kind):
            return cause
    if not isinstance(error, httpcore.ProtocolError | httpcore.NetworkError):
        log.error("a fetch failed", exc_info=error)
    return Cause.CUT
