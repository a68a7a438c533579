"""Reading past h11, with httpcore and h11 as they are installed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpcore
import pytest

from distcache.driver.insides import LEFT, Straight, alone, surplus, unanswered

BODY = bytes(range(256)) * 1000
LENGTH = b"Content-Length: %d" % len(BODY)


class Upstream(httpcore.AsyncNetworkStream, httpcore.AsyncNetworkBackend):
    """Both, the one connection that there is and what makes it: gives these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.connections = 0

    async def connect_tcp(self, *_: Any, **__: Any) -> "Upstream":
        self.connections += 1
        return self

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def get_extra_info(self, info: str) -> Any:
        return None


Look = Callable[[httpcore.Response, Upstream], Coroutine[Any, Any, None]]


def look(field: bytes, *pieces: bytes, at: Look) -> Upstream:
    """Ask, and look at the answer whose head has this field."""
    upstream = Upstream(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % field, *pieces)

    async def run() -> None:
        request = httpcore.Request("GET", "http://up/", headers=[(b"Host", b"up")])
        async with httpcore.AsyncHTTPConnection(
            request.url.origin, network_backend=upstream
        ) as connection:
            response = await connection.handle_async_request(request)
            await at(response, upstream)
            await response.aclose()
            if upstream.pieces:
                await (await connection.handle_async_request(request)).aclose()

    asyncio.run(run())
    return upstream


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["nothing", "surplus"])
def test_a_body_of_known_length_is_read_past_h11_up_to_its_last_part(after: bytes) -> None:
    async def at(response: httpcore.Response, upstream: Upstream) -> None:
        straight = Straight(response)
        assert straight.room() == len(BODY) - LEFT
        straight.took(100)
        assert straight.room() == len(BODY) - LEFT - 100
        straight.took(straight.room())
        assert straight.room() == 0
        upstream.pieces = [BODY[-LEFT:] + after]
        assert await response.aread() == BODY[-LEFT:]
        assert surplus(response) == bool(after)

    look(LENGTH, at=at)


def test_the_connection_is_used_again_when_all_has_been_read() -> None:
    async def at(response: httpcore.Response, upstream: Upstream) -> None:
        straight = Straight(response)
        straight.took(straight.room())
        assert await response.aread() == BODY[-LEFT:]

    again = b"HTTP/1.1 204 No Content\r\n\r\n"
    assert look(LENGTH, BODY[-LEFT:], again, at=at).connections == 1


def test_what_h11_holds_already_comes_first() -> None:
    async def at(response: httpcore.Response, _: Upstream) -> None:
        straight = Straight(response)
        assert straight.room() == 0
        parts = response.aiter_stream()
        assert await anext(parts) == BODY[:996] + b"\r\n\r\n"
        assert straight.room() == len(BODY) - LEFT - 1000
        straight.took(straight.room())
        assert [part async for part in parts] == [BODY[-LEFT:]]

    look(LENGTH + b"\r\n\r\n" + BODY[:996], BODY[-LEFT:], at=at)


@pytest.mark.parametrize(
    "field", [b"Transfer-Encoding: chunked", b"Connection: close", b"Content-Length: %d" % LEFT]
)
def test_other_bodies_are_all_h11s(field: bytes) -> None:
    async def at(response: httpcore.Response, _: Upstream) -> None:
        assert Straight(response).room() == 0

    look(field, at=at)


def test_where_the_parts_are_others_nothing_is_done_with_them() -> None:
    response = httpcore.Response(200, content=BODY)
    assert Straight(response).room() == 0
    assert surplus(response)


def test_a_connection_that_is_ones_own_has_no_locks_and_works_as_before() -> None:
    upstream = Upstream(b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n")

    async def statuses() -> list[int]:
        request = httpcore.Request("HEAD", "http://up/", headers=[(b"Host", b"up")])
        origin = request.url.origin
        async with httpcore.AsyncHTTPConnection(origin, network_backend=upstream) as connection:
            first = await connection.handle_async_request(request)
            await first.aread()
            await first.aclose()
            alone(connection)
            # Nothing in it waits any more: upstream answers at once.
            with pytest.raises(StopIteration) as ended:
                connection.handle_async_request(request).send(None)
            second = ended.value.value
            await second.aread()
            with pytest.raises(StopIteration):
                second.aclose().send(None)
            assert connection.is_idle()
        return [first.status, second.status]

    assert asyncio.run(statuses()) == [204, 404]


@pytest.mark.parametrize(
    ("come", "silent"),
    [([], True), ([b"H"], False), ([b"?\r\n\r\n"], False), ([b"HTTP/1.1 200 OK\r\n"], False)],
)
def test_a_request_that_failed_tells_whether_an_answer_had_begun(
    come: list[bytes], silent: bool
) -> None:
    async def run() -> None:
        request = httpcore.Request("GET", "http://up/", headers=[(b"Host", b"up")])
        upstream = Upstream(*come)
        connection = httpcore.AsyncHTTPConnection(request.url.origin, network_backend=upstream)
        with pytest.raises(httpcore.RemoteProtocolError):
            await connection.handle_async_request(request)
        assert unanswered(connection) == silent

    asyncio.run(run())


def test_a_connection_of_another_make_is_taken_to_have_answered() -> None:
    class Else(httpcore.AsyncConnectionInterface):
        pass

    assert not unanswered(Else())
