"""Upstreams' connections between two requests: which is used again, and which is closed."""

import asyncio
from typing import Any

import httpcore
import pytest

from distcache.driver.http import Trust
from distcache.driver.shelf import KEPT, Loan, Shelf
from distcache.wire.outgoing import HttpRequest
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url

HOME, ELSEWHERE = Url("http", "up", 80, "/"), Url("http", "cdn", 80, "/")
SITE = UpstreamSite("up", HOME)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Stream(httpcore.AsyncNetworkStream):
    """Gives the bench's answer at each read. `ended`: upstream has closed it."""

    ended = closed = False

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._bench.answer

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass

    async def aclose(self) -> None:
        self.closed = True

    def get_extra_info(self, info: str) -> Any:
        return self.ended if info == "is_readable" else None


class Bench(httpcore.AsyncNetworkBackend):
    """A shelf, and the upstream that its connections lead to."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.answer = EMPTY
        self.shelf = Shelf(lambda _: self)

    async def connect_tcp(self, *_: Any, **__: Any) -> Stream:
        self.streams.append(Stream(self))
        return self.streams[-1]

    async def used(self, url: Url = HOME) -> Loan:
        loan = self.shelf.take(SITE, url, Trust())
        request = httpcore.Request("GET", str(url), headers=[("Host", url.host)])
        response = await loan.connection.handle_async_request(request)
        await response.aread()
        await response.aclose()
        return loan

    async def give_back(self, loan: Loan) -> None:
        for connection in self.shelf.give_back(loan):
            await connection.aclose()

    @property
    def closed(self) -> list[bool]:
        return [stream.closed for stream in self.streams]


def test_the_last_used_connection_is_the_next_to_be_used() -> None:
    async def story() -> None:
        bench = Bench()
        first, second = await bench.used(), await bench.used()
        assert len(bench.streams) == 2, "nobody shares one"
        await bench.give_back(first)
        await bench.give_back(second)
        again = await bench.used()
        assert again.connection is second.connection
        assert (await bench.used()).connection is first.connection
        assert bench.closed == [False, False]

    asyncio.run(story())


def test_a_connection_leads_to_one_origin_only() -> None:
    async def story() -> None:
        bench = Bench()
        home = await bench.used(HOME)
        await bench.give_back(home)
        await bench.give_back(await bench.used(ELSEWHERE))
        assert len(bench.streams) == 2
        assert (await bench.used(HOME)).connection is home.connection

    asyncio.run(story())


def test_one_that_upstream_has_closed_is_not_used_again() -> None:
    async def story() -> None:
        bench = Bench()
        await bench.give_back(await bench.used())
        bench.streams[0].ended = True
        await bench.give_back(await bench.used())
        assert bench.closed == [True, False]

    asyncio.run(story())


def test_one_that_is_closed_when_it_comes_back_leaves_nothing() -> None:
    async def story() -> None:
        bench = Bench()
        loan = await bench.used()
        bench.streams[0].ended = True
        await bench.give_back(loan)
        assert bench.closed == [True]
        assert bench.shelf.clear() == []

    asyncio.run(story())


def test_so_many_are_kept_the_longest_idle_goes_first() -> None:
    async def story() -> None:
        bench = Bench()
        loans = [await bench.used() for _ in range(KEPT + 2)]
        for loan in loans:
            await bench.give_back(loan)
        assert bench.closed == [True, True] + [False] * KEPT

    asyncio.run(story())


def test_renewed_no_connection_that_there_was_is_used_again() -> None:
    async def story() -> None:
        bench = Bench()
        idle, busy = await bench.used(), await bench.used()
        await bench.give_back(idle)
        bench.shelf.renew()
        await bench.give_back(await bench.used())
        assert bench.closed == [True, False, False]
        await bench.give_back(busy)
        assert bench.closed == [True, True, False]
        assert len(bench.shelf.clear()) == 1

    asyncio.run(story())


def test_only_a_question_that_changes_nothing_is_asked_again() -> None:
    """RFC 9110 §9.2.2: with a body it may be the exchange of a token for another."""
    lost = httpcore.RemoteProtocolError("gone")

    async def story() -> None:
        bench = Bench()
        loan = await bench.used()
        ask, bring = HttpRequest("GET", HOME, ()), HttpRequest("POST", HOME, (), b"token=1")
        await bench.give_back(loan)
        bench.answer = b""
        with pytest.raises(httpcore.RemoteProtocolError):
            await bench.used()
        assert not loan.anew(bring, lost)
        assert not loan.anew(ask, httpcore.ReadTimeout())
        assert loan.anew(ask, lost)
        assert not loan.anew(ask, lost), "it is new"

    asyncio.run(story())
