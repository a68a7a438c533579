"""What a configuration means: `config.yml` and `REGISTRY_*` variables to `Settings`.

The file is the registry's own, extended; docs/configuration.md says what each key does.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from attrs import Factory, asdict, field, frozen

from .access import HtpasswdRule, Rules
from .configuration import document, login, schema, structure, tls
from .configuration.document import Document
from .configuration.document import Formatter as Formatter
from .configuration.document import HttpTimeouts as HttpTimeouts
from .configuration.document import Level as Level
from .configuration.document import Seconds as Seconds
from .configuration.document import UpstreamTimeouts as UpstreamTimeouts
from .configuration.environment import override
from .configuration.files import exposed
from .configuration.tls import ServerTls as ServerTls
from .configuration.tree import Problem as Problem
from .configuration.tree import Tree, below, parse
from .configuration.upstreams import HUB_URL, Upstreams
from .core import config as core
from .credentials import DockerConfig, Helper, PasswordFile
from .wire import urls
from .wire.challenge import Credentials
from .wire.sites import UpstreamSite
from .wire.urls import Zone

LARGEST_FILE = 1024 * 1024
"""Bytes of configuration that are read."""


class SettingsError(Exception):
    """Everything that is wrong with a configuration; one `message @ path` per line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@frozen
class Log:
    """`fields` go on every line. `access`: one line per request."""

    level: Level = Level.INFO
    formatter: Formatter = Formatter.TEXT
    access: bool = True
    fields: Mapping[str, str] = field(factory=dict)


Source = PasswordFile | Helper | DockerConfig


@frozen
class Debug:
    """Where operators look, `metrics` at this path, None: nowhere."""

    host: str | None
    port: int
    metrics: str | None

    @property
    def authority(self) -> str:
        host = self.host or "127.0.0.1"
        return f"{f'[{host}]' if ':' in host else host}:{self.port}"


@frozen
class Settings:
    """Everything a server needs to start. Durations are in seconds.

    `host` None: every interface; `unix`: listen on this path instead. `tls` None: plain HTTP.
    `default` is a key of `sites`. By the same keys, only for upstreams that have some:
    `credentials`, `sources` (where credentials are found that are not in the configuration),
    `timeouts` (else `upstream`). `rules`: who may ask. `client` bounds what clients may take,
    `upstream` what upstreams may. `max_connections_per_client` 0: as many as there may be, None:
    three quarters of them, and no bound for this machine itself.
    `drain`: how long running transfers get at the end."""

    host: str | None
    port: int
    root: Path
    core: core.Config
    default: str
    sites: Mapping[str, UpstreamSite]
    credentials: Mapping[str, Credentials]
    client: HttpTimeouts = field(factory=HttpTimeouts)
    upstream: UpstreamTimeouts = field(factory=UpstreamTimeouts)
    drain: float = 20.0
    max_connections: int = 1000
    max_connections_per_client: int | None = None
    log: Log = Log()
    unix: Path | None = None
    tls: ServerTls | None = None
    rules: Rules = Factory(lambda self: Rules(self.default), takes_self=True)
    sources: Mapping[str, Source] = field(factory=dict)
    timeouts: Mapping[str, UpstreamTimeouts] = field(factory=dict)
    debug: Debug | None = None
    warnings: tuple[Problem, ...] = ()


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a file and the variables over it; without a file, Docker Hub's cache on
    127.0.0.1:5000 with its files in the user's cache directory. Raises SettingsError with every
    problem found."""
    tree, errors = _read(path) if path else (_defaults(environ), [])
    return _meaning(tree, errors, environ)


def load_text(text: str) -> Settings:
    """The settings of a configuration's text, without any variables. Raises SettingsError."""
    tree, problems = parse(text)
    return _meaning(tree, problems, {})


def _meaning(tree: Tree, errors: list[Problem], environ: Mapping[str, str]) -> Settings:
    tree, wrong, ignored = override(tree, environ)
    sifted = schema.sift(tree)
    meant, misspelt = structure.structure(sifted.tree)
    reader = _Reader([*errors, *wrong, *sifted.errors, *misspelt])
    settings = reader.settings(meant, (*ignored, *sifted.warnings))
    if reader.errors:
        raise SettingsError(reader.errors)
    return settings


def _read(path: Path) -> tuple[Tree, list[Problem]]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        text = data.decode()
    except OSError as error:
        raise SettingsError([Problem(f"cannot be read: {error.strerror}", str(path))]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([Problem("not UTF-8", str(path))]) from error
    if len(data) > LARGEST_FILE:
        raise SettingsError([Problem("larger than a configuration can be", str(path))])
    tree, problems = parse(text)
    if tree is None and problems:
        raise SettingsError(problems)
    return tree, problems


def _defaults(environ: Mapping[str, str]) -> Tree:
    cache = environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path there is invalid and to be ignored.
    base = Path(cache) if cache.startswith("/") else Path(environ.get("HOME") or "/") / ".cache"
    root = str(base / "distcache").replace("'", "''")
    storage = f"storage: {{filesystem: {{rootdirectory: '{root}'}}}}"
    # A list of upstreams is closed: Docker Hub must not slip into one.
    listed = any(name.startswith("REGISTRY_PROXY_UPSTREAMS") for name in environ)
    proxy = "" if listed else f"proxy: {{remoteurl: {HUB_URL}}}"
    return parse(f"{storage}\n{proxy}\n")[0]


class _Reader:
    """Turns a document into settings and collects what is wrong on the way; after an error it
    goes on with any value, so that the rest is looked at as well."""

    def __init__(self, errors: list[Problem]) -> None:
        self.errors = errors

    def settings(self, meant: Document, warnings: tuple[Problem, ...]) -> Settings:
        host, port = self.address(meant.http)
        notes: list[Problem] = []
        upstreams = Upstreams(meant.proxy, self.errors, notes)
        if meant.version != "0.1":
            self.wrong("only version 0.1 is known", "$.version")
        self.bounds(meant)
        rules = Rules(
            default=upstreams.default,
            login=login.rule(meant.auth, self.errors, notes),
            certificate=bool(meant.http.tls.clientcas)
            and meant.http.tls.clientauth is document.ClientAuth.REQUIRED,
            repositories=upstreams.repositories,
        )
        passthrough = any(site.passthrough for site in upstreams.sites.values())
        if rules.login is not None and passthrough:
            self.wrong("not together with auth: a request carries one login", "$.proxy.upstreams")
        secrets = bool(upstreams.credentials or upstreams.sources)
        warnings += (*notes, *_cautions(meant, host, rules, secrets))
        return Settings(
            host=host,
            port=port,
            root=self.root(meant.storage),
            core=core.Config(
                upstreams=upstreams.treatment,
                max_size=meant.proxy.max_size,
                ttl=meant.proxy.ttl or None,
                evict=meant.storage.delete.enabled,
                offline=meant.proxy.offline,
            ),
            default=upstreams.default,
            sites=upstreams.sites,
            credentials=upstreams.credentials,
            sources=upstreams.sources,
            timeouts=upstreams.timeouts,
            tls=tls.server(meant.http.tls, self.errors),
            rules=rules,
            client=meant.http.timeouts,
            upstream=meant.proxy.timeouts,
            drain=meant.http.draintimeout,
            max_connections=meant.http.max_connections,
            max_connections_per_client=meant.http.max_connections_per_client,
            log=Log(
                level=meant.log.level or meant.loglevel or Level.INFO,
                formatter=meant.log.formatter,
                access=not meant.log.accesslog.disabled,
                fields=meant.log.fields,
            ),
            debug=self.debug(meant.http.debug),
            warnings=warnings,
        )

    def bounds(self, meant: Document) -> None:
        if meant.http.max_connections < 1:
            self.wrong("must be at least 1", "$.http.max_connections")
        if meant.proxy.max_size == 0:
            self.wrong("must be more than 0; leave it out for no limit", "$.proxy.max_size")
        for path, timeouts in (
            ("$.http.timeouts", asdict(meant.http.timeouts)),
            ("$.proxy.timeouts", asdict(meant.proxy.timeouts)),
        ):
            for name, seconds in timeouts.items():
                if not seconds:
                    self.wrong("must be more than 0", below(path, name))

    def address(self, http: document.Http) -> tuple[str | None, int]:
        if http.net not in ("", "tcp"):
            self.wrong("only tcp is built", "$.http.net")
        if http.prefix.strip("/"):
            self.wrong("a path prefix is not built yet", "$.http.prefix")
        return self.place(http.addr, "$.http.addr")

    def debug(self, meant: document.Debug) -> Debug | None:
        if not meant.addr:
            return None
        host, port = self.place(meant.addr, "$.http.debug.addr")
        if meant.prometheus.enabled and not meant.prometheus.path.startswith("/"):
            self.wrong("must begin with a slash", "$.http.debug.prometheus.path")
        return Debug(host, port, meant.prometheus.path if meant.prometheus.enabled else None)

    def place(self, text: str, path: str) -> tuple[str | None, int]:
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s]*)):([0-9]{1,5})", text)
        if match is None or int(match[3]) > 65535:
            self.wrong(f"must be HOST:PORT, like 127.0.0.1:5000: {text!r}", path)
            return None, 0
        return match[1] or match[2] or None, int(match[3])

    def root(self, storage: document.Storage) -> Path:
        if storage.filesystem is None:
            # A driver that is refused was told already.
            if not any(error.path.startswith("$.storage") for error in self.errors):
                self.wrong("give storage.filesystem.rootdirectory", "$.storage")
            return Path()
        if not storage.filesystem.rootdirectory:
            self.wrong("must not be empty", "$.storage.filesystem.rootdirectory")
        return Path(storage.filesystem.rootdirectory)

    def wrong(self, message: str, path: str) -> None:
        self.errors.append(Problem(message, path))


def _cautions(meant: Document, host: str | None, rules: Rules, secrets: bool) -> Iterator[Problem]:
    """What is allowed, but should be known."""
    if not meant.storage.delete.enabled:
        why = "nothing is ever evicted: the store grows without bound"
        yield Problem(why, "$.storage.delete.enabled")
    root = meant.storage.filesystem and meant.storage.filesystem.rootdirectory
    if root and os.path.isdir(f"{root}/docker/registry/v2"):
        why = "has a registry's files, neither used nor deleted; distcache import takes them over"
        yield Problem(why, "$.storage.filesystem.rootdirectory")
    if meant.log.formatter is Formatter.LOGSTASH:
        yield Problem("logstash is not built, lines are written as json", "$.log.formatter")
    served = meant.http.tls
    if served.key and exposed(served.key):
        yield Problem("every user of this machine can read the file", "$.http.tls.key")
    if host is not None and urls.zone(host) is Zone.LOOPBACK:
        return
    if secrets and rules.login is None and not rules.certificate:
        why = "who can connect here can pull what the upstream credentials open"
        yield Problem(why, "$.http.addr")
    if isinstance(rules.login, HtpasswdRule) and not served.certificate:
        yield Problem("passwords of clients cross the network unencrypted", "$.auth.htpasswd")
