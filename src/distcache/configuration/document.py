"""The keys of `config.yml` that are acted on, as types: one class per section.

What a key means is said in docs/configuration.md; what follows from it is `settings`' part.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NewType

from attrs import field, frozen

Seconds = NewType("Seconds", float)
Bytes = NewType("Bytes", int)

Names = tuple[str, ...]


class Level(Enum):
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class Formatter(Enum):
    TEXT = "text"
    JSON = "json"
    LOGSTASH = "logstash"


@frozen
class AccessLog:
    disabled: bool = False


@frozen
class Log:
    level: Level | None = None
    formatter: Formatter = Formatter.TEXT
    accesslog: AccessLog = AccessLog()
    fields: Mapping[str, str] = field(factory=dict)


@frozen
class Filesystem:
    """The default is the registry's."""

    rootdirectory: str = "/var/lib/registry"


@frozen
class Delete:
    enabled: bool = True


@frozen
class Storage:
    filesystem: Filesystem | None = None
    delete: Delete = Delete()


@frozen
class HttpTimeouts:
    headers: Seconds = Seconds(30)
    idle: Seconds = Seconds(75)
    write: Seconds = Seconds(60)


class ClientAuth(Enum):
    """The registry's words. Go has two modes more, which ask for a certificate and do not look
    at it."""

    IF_GIVEN = "verify-client-cert-if-given"
    REQUIRED = "require-and-verify-client-cert"


class MinimumTls(Enum):
    TLS_1_2 = "tls1.2"
    TLS_1_3 = "tls1.3"


@frozen
class Tls:
    certificate: str = ""
    key: str = ""
    clientcas: Names = ()
    clientauth: ClientAuth = ClientAuth.REQUIRED
    minimumtls: MinimumTls = MinimumTls.TLS_1_2


@frozen
class Prometheus:
    enabled: bool = False
    path: str = "/metrics"


@frozen
class Debug:
    addr: str = ""
    prometheus: Prometheus = Prometheus()


@frozen
class Http:
    addr: str = "127.0.0.1:5000"
    net: str = "tcp"
    prefix: str = ""
    draintimeout: Seconds = Seconds(20)
    timeouts: HttpTimeouts = HttpTimeouts()
    max_connections: int = 1000
    max_connections_per_client: int | None = None
    tls: Tls = Tls()
    debug: Debug = Debug()


@frozen
class Htpasswd:
    realm: str = ""
    path: str = ""


@frozen
class TokenAuth:
    realm: str = ""
    service: str = ""
    issuer: str = ""
    rootcertbundle: str = ""
    jwks: str = ""
    signingalgorithms: Names = ()


@frozen
class Auth:
    htpasswd: Htpasswd | None = None
    token: TokenAuth | None = None


@frozen
class UpstreamTimeouts:
    connect: Seconds = Seconds(5)
    headers: Seconds = Seconds(20)
    idle: Seconds = Seconds(60)


@frozen
class OwnTimeouts:
    """None: as `proxy` says."""

    connect: Seconds | None = None
    headers: Seconds | None = None
    idle: Seconds | None = None


@frozen
class Exec:
    """No `lifetime`: run once."""

    command: str = ""
    lifetime: Seconds | None = None


@frozen
class Upstream:
    """None: as `proxy` says, or else the default."""

    remoteurl: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: str | None = None
    exec: Exec | None = None
    docker_config: str | None = None
    passthrough: bool = False
    ca: str | None = None
    clientcert: str | None = None
    clientkey: str | None = None
    proxy: str | None = field(default=None, repr=False)
    mirrors: Names = ()
    allow: Names = ()
    deny: Names = ()
    hosts: Names = ()
    allow_private_redirects: bool = False
    timeouts: OwnTimeouts = OwnTimeouts()
    tag_ttl: Seconds | None = None
    stale_if_error: Seconds | None = None
    negative_ttl: Seconds | None = None
    immutable_tags: Names | None = None
    cool_down: Seconds | None = None
    cool_down_except: Names = ()


@frozen
class Proxy:
    remoteurl: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: str | None = None
    exec: Exec | None = None
    docker_config: str | None = None
    ttl: Seconds = Seconds(168 * 3600)
    tag_ttl: Seconds = Seconds(0)
    stale_if_error: Seconds = Seconds(720 * 3600)
    negative_ttl: Seconds = Seconds(10)
    immutable_tags: Names = ()
    cool_down: Seconds = Seconds(0)
    max_size: Bytes | None = None
    offline: bool = False
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    upstreams: Mapping[str, Upstream] | None = None


@frozen
class Document:
    version: str = "0.1"
    log: Log = Log()
    loglevel: Level | None = None
    storage: Storage = Storage()
    http: Http = Http()
    auth: Auth = Auth()
    proxy: Proxy = Proxy()
