"""Debian's docker-registry as the upstream: open, behind htpasswd, or behind tokens.

Every mode serves the same storage directory, so content is pushed once, to the open one.
The cache never talks to a registry directly: a wiretap in front keeps the record, spoils
answers and takes the upstream away, without a registry having to be restarted.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path

import yaml
from attrs import field, frozen

from tests.interop.tokens import ISSUER, SERVICE, TokenService, token_service
from tests.support.processes import Server, free_port
from tests.support.wiretap import Wiretap

USER = "alice"
PASSWORD = "s3cret"


class Mode(Enum):
    PLAIN = "plain"
    HTPASSWD = "htpasswd"
    TOKEN = "token"
    TOKEN_ANONYMOUS = "token-anonymous"
    """A token is needed, but anybody gets one: Docker Hub's public images."""
    TOKEN_OFFLINE = "token-offline"
    """A token is needed, and who logs in is given a refresh token for the time after."""
    TLS = "tls"
    """Open, over https, with a certificate that only its own authority vouches for."""


@frozen(eq=False)
class Registry:
    """A running docker-registry. `tokens` in the token modes only, `authority` in TLS mode."""

    mode: Mode
    server: Server
    tokens: TokenService | None = None
    authority: Path | None = None

    @property
    def port(self) -> int:
        return self.server.port


@frozen(eq=False)
class Upstream:
    """A registry as one cache sees it: through a wiretap of its own."""

    registry: Registry
    wiretap: Wiretap = field()

    @property
    def proxy(self) -> dict[str, object]:
        """The cache's `proxy` section: this upstream is the default one."""
        section: dict[str, object] = {"remoteurl": self.wiretap.url}
        if self.registry.mode in (Mode.HTPASSWD, Mode.TOKEN):
            section |= {"username": USER, "password": PASSWORD}
        return section

    def token_requests(self) -> int:
        return len(self.registry.tokens.requests) if self.registry.tokens else 0


@contextmanager
def watched(registry: Registry) -> Iterator[Upstream]:
    wiretap = Wiretap(registry.port)
    wiretap.start()
    try:
        yield Upstream(registry, wiretap)
    finally:
        wiretap.stop()


@contextmanager
def registry(mode: Mode, directory: Path, storage: Path) -> Iterator[Registry]:
    """Runs until the block is left; `storage` may be shared with other registries."""
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        tokens = authority = None
        auth: dict[str, object] = {}
        tls: dict[str, object] = {}
        if mode is Mode.TLS:
            authority = certify(directory, "IP:127.0.0.1")
            files = {"certificate": directory / "server.pem", "key": directory / "server.key"}
            tls = {name: str(path) for name, path in files.items()}
        elif mode is Mode.HTPASSWD:
            auth = {"htpasswd": {"realm": "interop", "path": str(write_htpasswd(directory))}}
        elif mode is not Mode.PLAIN:
            credentials = None if mode is Mode.TOKEN_ANONYMOUS else f"{USER}:{PASSWORD}"
            offline = mode is Mode.TOKEN_OFFLINE
            tokens = stack.enter_context(token_service(directory, credentials, offline))
            names = {"realm": tokens.realm, "service": SERVICE, "issuer": ISSUER}
            auth = {"token": {**names, "rootcertbundle": str(tokens.certificate)}}
        server = registry_server(directory, storage, auth, tls)
        server.start()
        stack.callback(server.stop)
        yield Registry(mode, server, tokens, authority)


def registry_server(
    directory: Path, storage: Path, auth: dict[str, object], tls: dict[str, object]
) -> Server:
    port = free_port()
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            # Registries that share a storage directory must not tidy up in it.
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"127.0.0.1:{port}"} | ({"tls": tls} if tls else {}),
    } | ({"auth": auth} if auth else {})
    path = directory / "registry.yml"
    path.write_text(yaml.safe_dump(config))
    return Server(["docker-registry", "serve", str(path)], port, directory / "registry.log")


def certify(directory: Path, subject: str) -> Path:
    """Write `server.pem` and `server.key` for `subject` (a subjectAltName); the certificate of
    the authority that signed it."""
    authority, key = directory / "authority.pem", directory / "authority.key"
    new = [*("openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec")]
    new += ["-pkeyopt", "ec_paramgen_curve:P-256"]
    own = ["-subj", "/CN=interop authority", "-keyout", str(key), "-out", str(authority)]
    leaf = ["-subj", "/CN=interop", "-addext", f"subjectAltName={subject}"]
    leaf += ["-addext", "basicConstraints=critical,CA:FALSE"]
    leaf += ["-CA", str(authority), "-CAkey", str(key)]
    leaf += ["-keyout", str(directory / "server.key"), "-out", str(directory / "server.pem")]
    for command in ([*new, *own], [*new, *leaf]):
        subprocess.run(command, capture_output=True, check=True)
    return authority


def write_htpasswd(directory: Path) -> Path:
    command = ["htpasswd", "-Bbn", USER, PASSWORD]
    path = directory / "htpasswd"
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return path
