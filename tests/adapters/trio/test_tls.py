"""Upstreams over TLS: whom we trust, and what a handshake that is given up leaves behind."""

import ssl
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import httpcore
import pytest
import trio

from distcache.driver.reach import Reach
from distcache.trio_server.network import Backend
from distcache.trio_server.serve import open_server
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.adapters.certificates import certificate as certificate
from tests.adapters.client import connect
from tests.adapters.fake_upstream import upstream

from .bench import settings
from .clock import jumping

pytestmark = pytest.mark.trio

ERRORS = {"too slow": httpcore.ConnectTimeout, "not TLS": httpcore.ConnectError}
BODY = bytes(range(256)) * 4000


@pytest.mark.parametrize(("trusting", "status"), [(True, 200), (False, 502)])
async def test_an_upstream_is_trusted_by_its_own_ca_and_not_without(
    tmp_path: Path, certificate: tuple[Path, Path], trusting: bool, status: int
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with upstream(context) as up:
        path = up.blob("a/img", BODY)
        ca = str(certificate[0]) if trusting else None
        sites = {"up": UpstreamSite("up", Url("https", "127.0.0.1", up.port), ca=ca)}
        async with open_server(settings(tmp_path / "store", 1, sites=sites)) as server:
            client = await connect(server.port)
            async with client.stream:
                answer = await client.get(path)
                assert answer.status == status
                assert not trusting or answer.body == BODY


@pytest.mark.parametrize("how", ["cancelled", "too slow", "not TLS"])
async def test_a_handshake_that_fails_leaves_no_connection(
    how: str, mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung_up = trio.Event()

    async def plain(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()  # the ClientHello
            if how == "not TLS":
                await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            while await stream.receive_some():
                pass
        hung_up.set()

    async with jumping(mock_clock, monkeypatch), trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, plain, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        connected = await Backend(Reach("127.0.0.1")).connect_tcp("127.0.0.1", port, timeout=5)
        expected = pytest.raises(ERRORS[how]) if how in ERRORS else nullcontext()
        with trio.move_on_after(3), expected:
            await connected.start_tls(
                ssl.create_default_context(), "localhost", timeout=5 if how != "too slow" else 2
            )
        await hung_up.wait()
        nursery.cancel_scope.cancel()
