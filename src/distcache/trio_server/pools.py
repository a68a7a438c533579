"""httpcore's connections on trio, and how the bodies of answers are left."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpcore
import trio

from ..driver.bodies import BodyReader
from ..driver.http import REST_TIME, Trust, http_request, load_trust
from ..driver.shelf import Connection, Loan, Shelf
from ..settings import UpstreamTimeouts
from ..wire.outgoing import HttpRequest
from ..wire.sites import UpstreamSite
from ..wire.urls import Url
from .network import Backend


async def send(loan: Loan, sent: HttpRequest, timeouts: UpstreamTimeouts) -> httpcore.Response:
    """Up to the answer's head, for which the caller's patience counts. Raises httpcore's errors."""
    request = http_request(sent, timeouts, socks=loan.pool.socks)
    try:
        response = await loan.connection.handle_async_request(request)
    except BaseException as error:
        # Perhaps between connecting and sending, or with a tunnel that was opened in vain.
        await _close([loan.connection])
        if loan.anew(sent, error):
            return await send(loan, sent, timeouts)
        raise
    loan.answered(response.extensions["network_stream"])
    return response


class Pools:
    def __init__(self) -> None:
        self.shelf = Shelf(Backend)

    @asynccontextmanager
    async def to(
        self, site: UpstreamSite, url: Url, loan: Loan | None = None
    ) -> AsyncIterator[Loan]:
        """The connection for one request, until its answer is done with; `loan`: that it has
        already."""
        trust = Trust()
        if loan is None and not self.shelf.usable(site, url.scheme):
            trust = await trio.to_thread.run_sync(load_trust, site, url.scheme)
        loan = loan or self.shelf.take(site, url, trust)
        try:
            yield loan
        finally:
            await _close(self.shelf.give_back(loan))

    def renew(self) -> None:
        """See `Shelf.renew`."""
        self.shelf.renew()

    async def aclose(self) -> None:
        """When nobody uses any."""
        await _close(self.shelf.clear())


class Body(BodyReader):
    """Unless it was read to its end, the connection is closed."""

    async def __aenter__(self) -> "Body":
        return self

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True):
            await (self._tear() if self._half_read else self._part())

    async def skip(self) -> None:
        """Read what is left, if it is little and quick to come, so that the connection can be
        used again."""
        with trio.move_on_after(REST_TIME):
            await self._read_rest()


async def _close(spent: list[Connection]) -> None:
    with trio.CancelScope(shield=True):
        for connection in spent:
            await connection.aclose()
