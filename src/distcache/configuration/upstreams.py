"""The registries that may be asked: what the `proxy` section means.

A list of upstreams is closed. Without one there is a single upstream, which answers for its own
name and, as a registry mirror does, for Docker Hub's.
"""

import ssl
from collections.abc import Iterable

from attrs import evolve

from ..core import config as core
from ..wire import urls
from ..wire.challenge import Credentials
from ..wire.sites import UpstreamSite
from ..wire.urls import Url
from . import document
from .tree import Problem, below

HUB = "docker.io"
HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io")
HUB_URL = "https://registry-1.docker.io"


class Upstreams:
    """The upstreams of one `proxy` section, by key; what is wrong with them is added to
    `problems`. `treatment` is how the core treats each; `credentials` are there only for those
    that have some."""

    def __init__(self, proxy: document.Proxy, problems: list[Problem]) -> None:
        self.default = ""
        self.sites: dict[str, UpstreamSite] = {}
        self.credentials: dict[str, Credentials] = {}
        self.treatment: dict[str, core.Upstream] = {}
        self._proxy = proxy
        self._problems = problems
        self._taken: set[str] = set()
        for name, meant in (proxy.upstreams or {}).items():
            self._listed(name, meant)
        if proxy.remoteurl is not None:
            self._remote(proxy.remoteurl)
        elif self.sites:
            self.default = HUB if HUB in self.sites else next(iter(self.sites))
        elif not any(problem.path.startswith("$.proxy") for problem in problems):
            self._wrong("give proxy.remoteurl or proxy.upstreams", "$.proxy")
        if proxy.remoteurl is None and (proxy.username or proxy.password):
            self._wrong(
                "belongs to proxy.remoteurl, which is not given; name it under the upstream",
                "$.proxy.username" if proxy.username else "$.proxy.password",
            )

    def _wrong(self, message: str, path: str) -> None:
        self._problems.append(Problem(message, path))

    def _listed(self, name: str, meant: document.Upstream) -> None:
        path = below("$.proxy.upstreams", name)
        spelt = urls.parse(f"https://{name}")
        if spelt is None or spelt.authority != name.lower():
            self._wrong("must be a registry host, like ghcr.io or host:5000", path)
            return
        key = _key(spelt)
        if key in self.sites:
            self._wrong(f"the same upstream as another one: {key}", path)
            return
        standard = HUB_URL if key == HUB else f"https://{name.lower()}"
        url = self._url(meant.remoteurl or standard, below(path, "remoteurl"))
        self._add(key, url, meant, path)

    def _remote(self, text: str) -> None:
        url = self._url(text, "$.proxy.remoteurl")
        key = _key(url)
        same = [k for k, site in self.sites.items() if k == key or site.url.origin == url.origin]
        own = document.Upstream(username=self._proxy.username, password=self._proxy.password)
        if not same:
            self._add(key, url, own, "$.proxy")
            if not self._proxy.upstreams:
                # A registry's mirror is what clients ask in Docker Hub's place.
                names = [*HUB_NAMES, url.authority]
                aliases = tuple(dict.fromkeys(name for name in names if name != key))
                self.sites[key] = evolve(self.sites[key], aliases=aliases)
            self.default = key
            return
        self.default = same[0]
        found = self._credentials(own, "$.proxy")
        if found is not None and self.credentials.setdefault(same[0], found) != found:
            self._wrong(f"differs from what {same[0]} has", "$.proxy.username")
        if found is not None:
            self.treatment[same[0]] = evolve(self.treatment[same[0]], basic=True)

    def _add(self, key: str, url: Url, meant: document.Upstream, path: str) -> None:
        credentials = self._credentials(meant, path)
        if credentials is not None:
            self.credentials[key] = credentials
        if meant.ca is not None and (problem := _ca_problem(meant.ca)):
            self._wrong(problem, below(path, "ca"))
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
            tag_ttl=_first(meant.tag_ttl, self._proxy.tag_ttl),
            stale_if_error=_first(meant.stale_if_error, self._proxy.stale_if_error),
            negative_ttl=_first(meant.negative_ttl, self._proxy.negative_ttl),
            basic=credentials is not None,
        )

    def _credentials(self, meant: document.Upstream, path: str) -> Credentials | None:
        if meant.username and meant.password:
            if ":" in meant.username:
                # RFC 7617 section 2: it would be read as the password's beginning.
                self._wrong("must not hold a colon", below(path, "username"))
            return Credentials(meant.username, meant.password)
        if meant.username:
            self._wrong("a username without a password", below(path, "username"))
        if meant.password:
            self._wrong("a password without a username", below(path, "password"))
        return None

    def _hosts(self, names: tuple[str, ...], path: str) -> Iterable[str]:
        for index, name in enumerate(names):
            host = name.lower()
            spelt = urls.parse(f"http://{host}")
            if spelt is None or spelt.host != host:
                self._wrong("must be a host name without port", below(path, index))
            elif host in self._taken:
                self._wrong("stands for another upstream already", below(path, index))
            else:
                self._taken.add(host)
                yield host

    def _url(self, text: str, path: str) -> Url:
        # Never quote it: there may be a password in it.
        url = urls.parse(text)
        if url is None:
            secret = "@" in text.partition("://")[2].partition("/")[0]
            hint = "; give username and password as keys of their own" if secret else ""
            self._wrong(f"must be an http:// or https:// URL of a registry{hint}", path)
            return Url("https", "invalid.invalid", 443)
        if "?" in text or "#" in text:
            self._wrong("must not have a query or a fragment", path)
        if url.target.rstrip("/").endswith("/v2"):
            self._wrong("must end before /v2", path)
        if url.scheme == "https" and url.host in HUB_NAMES:
            return Url("https", HUB_NAMES[-1], url.port)
        return evolve(url, target=url.target.rstrip("/") or "/")


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
