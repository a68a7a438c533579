"""What clients do on the wire before and beside pulling."""

import json
import socket

import pytest

from tests.support.cache import CacheServer
from tests.support.raw import ask

CLIENT_HELLO = bytes.fromhex("16030100310100002d0303") + bytes(32) + bytes.fromhex("000002002f0100")


def test_a_tls_hello_on_the_plain_port_is_answered_at_once(cache: CacheServer) -> None:
    # skopeo, podman and docker try TLS first; waiting for a header's end costs them 10 s. A server
    # that waits for it does so for 30.
    with socket.create_connection(("127.0.0.1", cache.port), timeout=20) as one:
        one.sendall(CLIENT_HELLO)
        try:
            answer = one.recv(4096)
        except ConnectionError:
            answer = b""
    assert answer[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.0 400")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/library/oci/blobs/uploads/"),
        ("PUT", "/v2/library/oci/manifests/latest"),
        ("DELETE", "/v2/library/oci/manifests/latest"),
    ],
)
def test_writes_are_405_unsupported(method: str, path: str, cache: CacheServer) -> None:
    answer = ask(cache.port, path, method)
    assert answer.status == 405
    assert json.loads(answer.body)["errors"][0]["code"] == "UNSUPPORTED"
    assert ask(cache.port, "/v2/").status == 200, "and the server is still well"
