"""Certificates of clients, through real handshakes of the server's own TLS settings."""

import ssl
from pathlib import Path

import pytest

from distcache.access.certificates import subject
from distcache.settings import ServerTls
from tests.access.signing import Signer, key, lasting, write


@pytest.fixture
def authority() -> Signer:
    return lasting("clients", key("ES256", 1), authority=True)


@pytest.fixture
def server(tmp_path: Path, authority: Signer) -> ServerTls:
    pair = write(tmp_path / "server.pem", lasting("cache", key("ES256")))
    return ServerTls(pair, pair, (write(tmp_path / "ca.pem", authority),))


def greet(tls: ServerTls, certificate: Path | None) -> str | None:
    """The subject that the server sees of a client with this certificate. SSLError: it does not
    speak with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(tls.certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if certificate is not None:
        context.load_cert_chain(certificate)
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(here, there)
    server = tls.context().wrap_bio(there, here, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert server.selected_alpn_protocol() == "http/1.1"
    return subject(server.getpeercert())


def test_a_client_shows_who_it_is(tmp_path: Path, server: ServerTls, authority: Signer) -> None:
    own = write(tmp_path / "own.pem", lasting("alice", key("ES256", 2), authority))
    assert greet(server, own) == "CN=alice"


def test_strangers_and_the_nameless_are_not_spoken_with(tmp_path: Path, server: ServerTls) -> None:
    forged = lasting("clients", key("ES256", 3), authority=True)
    own = write(tmp_path / "own.pem", lasting("alice", key("ES256", 4), forged))
    for certificate in (own, None):
        with pytest.raises(ssl.SSLError):
            greet(server, certificate)


def test_where_certificates_are_optional_the_nameless_have_no_subject(
    tmp_path: Path, server: ServerTls, authority: Signer
) -> None:
    optional = ServerTls(server.certificate, server.key, server.client_cas, demanded=False)
    own = write(tmp_path / "own.pem", lasting("alice", key("ES256", 2), authority))
    assert greet(optional, None) is None
    assert greet(optional, own) == "CN=alice"
    nobody = ServerTls(server.certificate, server.key)
    assert greet(nobody, own) is None


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (None, None),
        ({}, None),
        ({"subject": ((("countryName", "NO"),), (("commonName", "a"),))}, "CN=a,C=NO"),
        ({"subject": ((("commonName", "a"), ("userId", "7")),)}, "UID=7,CN=a"),
        ({"subject": ((("commonName", "a,O=b"),),)}, "CN=a\\,O\\=b"),
        ({"subject": ((("commonName", " #a "),),)}, "CN=\\ #a\\ "),
        ({"subject": ((("emailAddress", "a@b"),),)}, "emailAddress=a@b"),
        ({"subject": (), "subjectAltName": (("DNS", "a.b"), ("DNS", "c"))}, "DNS:a.b"),
        ({"subject": (), "serialNumber": "0A"}, "serial:0A"),
        ({"version": 3}, "serial:"),
    ],
)
def test_names(peer: dict[str, object] | None, expected: str | None) -> None:
    assert subject(peer) == expected
