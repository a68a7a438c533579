"""Whatever WWW-Authenticate says, each challenge that is taken up leads to a token request that
can be sent, and the password goes to no realm but one of the upstream's own domain over https.

The lines of the input are the header's.
"""

from base64 import b64encode
from urllib.parse import urlsplit

from distcache.core.events import Secret
from distcache.wire import challenge, urls
from distcache.wire.headers import sendable
from distcache.wire.outgoing import Credentials, HttpRequest, IdentityToken
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url, Zone

WORDS = (
    b'Bearer realm="https://auth.docker.io/token"',
    b',service="registry.docker.io"',
    b',scope="repository:library/alpine:pull,push"',
    b'Basic realm="r"',
    b"Negotiate a87421000492aa==",
    b', error="invalid_token"',
    b'realm=https://registry-1.docker.io"',
    b"http://127.1/",
    b"https://user@docker.io/",
    b"https://docker.io.evil.example/",
    b"\\",
    b"[::1]",
)
SITE = UpstreamSite("docker.io", Url("https", "registry-1.docker.io", 443))
PASSWORD = Credentials("user", "hunter2")
IDENTITY = IdentityToken(Secret("hunter2"))
SECRETS = (b"hunter2", b64encode(b"user:hunter2"))


def one_input(data: bytes) -> None:
    headers = [(b"WWW-Authenticate", line) for line in data.split(b"\n")]
    found = challenge.challenges(SITE, headers)
    assert challenge.challenges(SITE, headers) == found
    for one in found:
        if not one.bearer:
            continue
        realm = urls.parse(one.realm)
        assert realm is not None, one
        assert urls.zone(realm.host) is Zone.PUBLIC, one
        for login in (None, PASSWORD, IDENTITY):
            sent = challenge.token_request(one, login)
            check(sent, realm)
            shown = any(secret in said for secret in SECRETS for said in everything(sent))
            # A name with a dot at its end is the same name.
            own = f".{realm.host}".rstrip(".").endswith(".docker.io")
            assert not shown or (own and realm.scheme == "https"), one
            assert shown == (login is not None and one.trusted), (one, "trusted and not shown")


def check(sent: HttpRequest, realm: Url) -> None:
    """It goes to the realm, and is one message."""
    assert sent.url.origin == realm.origin, sent
    assert sendable(str(sent.url)), sent
    again = urlsplit(str(sent.url))
    assert (again.scheme, again.hostname) == (realm.scheme, realm.host), sent
    names = [name for name, _ in sent.headers]
    assert len(set(names)) == len(names), sent
    assert all(sendable(value.decode()) for _, value in sent.headers), sent


def everything(sent: HttpRequest) -> list[bytes]:
    return [str(sent.url).encode(), sent.body, *(value for _, value in sent.headers)]
