"""What a configuration means: `config.yml` and `REGISTRY_*` variables to `Settings`.

The file is the registry's own, extended; docs/configuration.md says what each key does.
"""

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from attrs import asdict, evolve, field, frozen

from .configuration import document, schema
from .configuration.document import Document
from .configuration.document import Formatter as Formatter
from .configuration.document import HttpTimeouts as HttpTimeouts
from .configuration.document import Level as Level
from .configuration.document import UpstreamTimeouts as UpstreamTimeouts
from .configuration.environment import override
from .configuration.tree import Problem as Problem
from .configuration.tree import Tree, below, parse
from .core import config as core
from .wire import urls
from .wire.challenge import Credentials
from .wire.sites import UpstreamSite
from .wire.urls import Url, Zone

HUB = "docker.io"
HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io")
HUB_URL = "https://registry-1.docker.io"

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


@frozen
class Settings:
    """Everything a server needs to start. Durations are in seconds.

    `host` None: every interface. `default` is a key of `sites`; `credentials` by the same keys,
    only for upstreams that have some. `client` bounds what clients may take, `upstream` what
    upstreams may. `drain`: how long running transfers get at the end."""

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
    log: Log = Log()
    warnings: tuple[Problem, ...] = ()


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a file and the variables over it; without a file, Docker Hub's cache on
    127.0.0.1:5000 with its files in the user's cache directory. Raises SettingsError with every
    problem found."""
    tree, errors = _read(path) if path else (_defaults(environ), [])
    tree, wrong, ignored = override(tree, environ)
    sifted = schema.sift(tree)
    meant, misspelt = document.structure(sifted.tree)
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
    return parse(f"{storage}\nproxy: {{remoteurl: {HUB_URL}}}\n")[0]


class _Reader:
    """Turns a document into settings and collects what is wrong on the way; after an error it
    goes on with any value, so that the rest is looked at as well."""

    def __init__(self, errors: list[Problem]) -> None:
        self.errors = errors

    def settings(self, meant: Document, warnings: tuple[Problem, ...]) -> Settings:
        host, port = self.address(meant.http)
        upstreams = _Upstreams(self, meant.proxy)
        upstreams.collect()
        if meant.version != "0.1":
            self.wrong("only version 0.1 is known", "$.version")
        self.bounds(meant)
        warnings += tuple(_cautions(meant, host, bool(upstreams.credentials)))
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
            client=meant.http.timeouts,
            upstream=meant.proxy.timeouts,
            drain=meant.http.draintimeout,
            max_connections=meant.http.max_connections,
            log=Log(
                level=meant.log.level or meant.loglevel or Level.INFO,
                formatter=meant.log.formatter,
                access=not meant.log.accesslog.disabled,
                fields=meant.log.fields,
            ),
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
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s]*)):([0-9]{1,5})", http.addr)
        if match is None or int(match[3]) > 65535:
            self.wrong(f"must be HOST:PORT, like 127.0.0.1:5000: {http.addr!r}", "$.http.addr")
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


class _Upstreams:
    """The upstreams of one `proxy` section, by key."""

    def __init__(self, reader: _Reader, proxy: document.Proxy) -> None:
        self.reader = reader
        self.proxy = proxy
        self.default = ""
        self.sites: dict[str, UpstreamSite] = {}
        self.credentials: dict[str, Credentials] = {}
        self.treatment: dict[str, core.Upstream] = {}
        self.hosts: set[str] = set()

    def collect(self) -> None:
        for name, meant in (self.proxy.upstreams or {}).items():
            self._listed(name, meant)
        if self.proxy.remoteurl is not None:
            self._remote(self.proxy.remoteurl)
        elif self.sites:
            self.default = HUB if HUB in self.sites else next(iter(self.sites))
        elif not any(error.path.startswith("$.proxy") for error in self.reader.errors):
            self.reader.wrong("give proxy.remoteurl or proxy.upstreams", "$.proxy")
        if self.proxy.remoteurl is None and (self.proxy.username or self.proxy.password):
            self.reader.wrong(
                "belongs to proxy.remoteurl, which is not given; name it under the upstream",
                "$.proxy.username" if self.proxy.username else "$.proxy.password",
            )

    def _listed(self, name: str, meant: document.Upstream) -> None:
        path = below("$.proxy.upstreams", name)
        spelt = urls.parse(f"https://{name}")
        if spelt is None or spelt.authority != name.lower():
            self.reader.wrong("must be a registry host, like ghcr.io or host:5000", path)
            return
        key = _key(spelt)
        if key in self.sites:
            self.reader.wrong(f"the same upstream as another one: {key}", path)
            return
        standard = HUB_URL if key == HUB else f"https://{name.lower()}"
        url = self._url(meant.remoteurl or standard, below(path, "remoteurl"))
        self._add(key, url, meant, path)

    def _remote(self, text: str) -> None:
        url = self._url(text, "$.proxy.remoteurl")
        key = _key(url)
        same = [k for k, site in self.sites.items() if k == key or site.url.origin == url.origin]
        own = document.Upstream(username=self.proxy.username, password=self.proxy.password)
        if not same:
            self._add(key, url, own, "$.proxy")
            if not self.proxy.upstreams:
                # A registry's mirror is what clients ask in Docker Hub's place.
                names = [*HUB_NAMES, url.authority]
                aliases = tuple(dict.fromkeys(name for name in names if name != key))
                self.sites[key] = evolve(self.sites[key], aliases=aliases)
            self.default = key
            return
        self.default = same[0]
        found = self._credentials(own, "$.proxy")
        if found is not None and self.credentials.setdefault(same[0], found) != found:
            self.reader.wrong(f"differs from what {same[0]} has", "$.proxy.username")
        if found is not None:
            self.treatment[same[0]] = evolve(self.treatment[same[0]], basic=True)

    def _add(self, key: str, url: Url, meant: document.Upstream, path: str) -> None:
        credentials = self._credentials(meant, path)
        if credentials is not None:
            self.credentials[key] = credentials
        if meant.ca is not None and (problem := _ca_problem(meant.ca)):
            self.reader.wrong(problem, below(path, "ca"))
        self.sites[key] = UpstreamSite(
            key=key,
            url=url,
            aliases=tuple(name for name in HUB_NAMES if name != HUB) if key == HUB else (),
            hosts=tuple(self._hosts(meant.hosts, below(path, "hosts"))),
            hub=key == HUB,
            allow_private_redirects=meant.allow_private_redirects,
            ca=meant.ca,
        )
        self.treatment[key] = core.Upstream(
            tag_ttl=_first(meant.tag_ttl, self.proxy.tag_ttl),
            stale_if_error=_first(meant.stale_if_error, self.proxy.stale_if_error),
            negative_ttl=_first(meant.negative_ttl, self.proxy.negative_ttl),
            basic=credentials is not None,
        )

    def _credentials(self, meant: document.Upstream, path: str) -> Credentials | None:
        if meant.username and meant.password:
            if ":" in meant.username:
                # RFC 7617 section 2: it would be read as the password's beginning.
                self.reader.wrong("must not hold a colon", below(path, "username"))
            return Credentials(meant.username, meant.password)
        if meant.username:
            self.reader.wrong("a username without a password", below(path, "username"))
        if meant.password:
            self.reader.wrong("a password without a username", below(path, "password"))
        return None

    def _hosts(self, names: tuple[str, ...], path: str) -> Iterable[str]:
        for index, name in enumerate(names):
            host = name.lower()
            spelt = urls.parse(f"http://{host}")
            if spelt is None or spelt.host != host:
                self.reader.wrong("must be a host name without port", below(path, index))
            elif host in self.hosts:
                self.reader.wrong("stands for another upstream already", below(path, index))
            else:
                self.hosts.add(host)
                yield host

    def _url(self, text: str, path: str) -> Url:
        # Never quote it: there may be a password in it.
        url = urls.parse(text)
        if url is None:
            secret = "@" in text.partition("://")[2].partition("/")[0]
            hint = "; give username and password as keys of their own" if secret else ""
            self.reader.wrong(f"must be an http:// or https:// URL of a registry{hint}", path)
            return Url("https", "invalid.invalid", 443)
        if "?" in text or "#" in text:
            self.reader.wrong("must not have a query or a fragment", path)
        if url.scheme == "https" and url.host in HUB_NAMES:
            return Url("https", HUB_NAMES[-1], url.port)
        return evolve(url, target=url.target.rstrip("/") or "/")


def _cautions(meant: Document, host: str | None, secrets: bool) -> Iterator[Problem]:
    """What is allowed, but should be known."""
    if not meant.storage.delete.enabled:
        why = "nothing is ever evicted: the store grows without bound"
        yield Problem(why, "$.storage.delete.enabled")
    if meant.log.formatter is Formatter.LOGSTASH:
        yield Problem("logstash is not built, lines are written as json", "$.log.formatter")
    if secrets and (host is None or urls.zone(host) is not Zone.LOOPBACK):
        why = "who can connect here can pull what the upstream credentials open"
        yield Problem(why, "$.http.addr")


def _ca_problem(path: str) -> str | None:
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        return f"holds no certificate in PEM: {path}"
    except OSError as error:
        return f"cannot be read: {path}: {error.strerror}"
    return None


def _key(url: Url) -> str:
    return HUB if url.authority in HUB_NAMES else url.authority


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
