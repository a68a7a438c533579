"""The registries that may be asked: what the `proxy` section means.

A list of upstreams is closed. Without one there is a single upstream, which answers for its own
name and, as a registry mirror does, for Docker Hub's.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from attrs import asdict, evolve

from ..access import Patterns, repositories
from ..core import config as core
from ..credentials import DockerConfig, Helper, PasswordFile, Spec
from ..wire import urls
from ..wire.outgoing import Credentials
from ..wire.sites import ForwardProxy, UpstreamSite
from ..wire.urls import Url
from . import credentials, document, tls
from .tree import Problem, below

_TAGS = re.compile(r"[A-Za-z0-9_.*?-]{1,128}")

HUB = "docker.io"
HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io")
HUB_URL = "https://registry-1.docker.io"


class Upstreams:
    """The upstreams of one `proxy` section, by key; what is wrong with them is added to
    `problems`, what should be known to `warnings`. `treatment` is how the core treats each; the
    other tables hold only those that have an entry there."""

    def __init__(
        self, proxy: document.Proxy, problems: list[Problem], warnings: list[Problem]
    ) -> None:
        self.default = ""
        self.sites: dict[str, UpstreamSite] = {}
        self.treatment: dict[str, core.Upstream] = {}
        self.timeouts: dict[str, document.UpstreamTimeouts] = {}
        self.repositories: dict[str, Patterns] = {}
        self._specs: dict[str, Spec] = {}
        self._own: set[str] = set()
        self._proxy = proxy
        self._problems = problems
        self._warnings = warnings
        self._taken: set[str] = set()
        for name, meant in (proxy.upstreams or {}).items():
            self._listed(name, meant)
        if proxy.remoteurl is not None:
            self._remote(proxy.remoteurl)
        elif self.sites:
            self.default = HUB if HUB in self.sites else next(iter(self.sites))
        elif not any(problem.path.startswith("$.proxy") for problem in problems):
            self._wrong("give proxy.remoteurl or proxy.upstreams", "$.proxy")
        if proxy.remoteurl is None:
            own = ("username", "password", "password_file", "exec")
            for name in [name for name in own if getattr(proxy, name)][:1]:
                self._wrong(
                    "belongs to proxy.remoteurl, which is not given; name it under the upstream",
                    below("$.proxy", name),
                )

    @property
    def credentials(self) -> dict[str, Credentials]:
        """Those that the configuration itself holds."""
        return {key: one for key, one in self._specs.items() if isinstance(one, Credentials)}

    @property
    def sources(self) -> dict[str, PasswordFile | Helper | DockerConfig]:
        """Where the others are found."""
        return {key: one for key, one in self._specs.items() if not isinstance(one, Credentials)}

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
        own = document.Upstream(
            username=self._proxy.username,
            password=self._proxy.password,
            password_file=self._proxy.password_file,
            exec=self._proxy.exec,
        )
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
        self._add_login(same[0], url, own)

    def _add_login(self, key: str, url: Url, own: document.Upstream) -> None:
        """That of `proxy`, for an upstream that is listed as well."""
        found = self._spec(own, url, "$.proxy")
        if found is None:
            return
        if key in self._own and self._specs[key] != found:
            self._wrong(f"differs from what {key} has", "$.proxy.username")
        self._specs[key] = found
        self.treatment[key] = evolve(self.treatment[key], basic=True)

    def _add(self, key: str, url: Url, meant: document.Upstream, path: str) -> None:
        login = self._spec(meant, url, path)
        if login is not None:
            self._own.add(key)
            if meant.passthrough:
                self._wrong("a login of our own excludes those of clients", f"{path}.passthrough")
        elif self._proxy.docker_config and not meant.passthrough:
            everywhere = document.Upstream(docker_config=self._proxy.docker_config)
            login = self._spec(everywhere, url, "$.proxy")
        if login is not None:
            self._specs[key] = login
        self._add_limits(key, meant, path)
        self.sites[key] = UpstreamSite(
            key=key,
            url=url,
            aliases=tuple(name for name in HUB_NAMES if name != HUB) if key == HUB else (),
            hosts=tuple(self._hosts(meant.hosts, below(path, "hosts"))),
            hub=key == HUB,
            allow_private_redirects=meant.allow_private_redirects,
            passthrough=meant.passthrough,
            mirrors=tuple(self._mirrors(key, meant, path)),
            ca=meant.ca or None,
            client_cert=meant.clientcert or None,
            client_key=meant.clientkey or None,
            proxy=self._forward_proxy(meant.proxy, below(path, "proxy")),
        )
        self.treatment[key] = core.Upstream(
            tag_ttl=_first(meant.tag_ttl, self._proxy.tag_ttl),
            stale_if_error=_first(meant.stale_if_error, self._proxy.stale_if_error),
            negative_ttl=_first(meant.negative_ttl, self._proxy.negative_ttl),
            basic=login is not None,
            mirrors=len(self.sites[key].mirrors),
            immutable=self._immutable(meant, path),
            cool_down=self._cool_down(meant, path),
            cool_down_except=self._patterns(
                meant.cool_down_except, below(path, "cool_down_except")
            ),
        )

    def _cool_down(self, meant: document.Upstream, path: str) -> float:
        found = _first(meant.cool_down, self._proxy.cool_down)
        if found and meant.passthrough:
            # What one client has been shown must tell nothing to another.
            self._wrong("cannot be had with cool_down: set that to 0", f"{path}.passthrough")
        return found

    def _immutable(self, meant: document.Upstream, path: str) -> tuple[str, ...]:
        own = meant.immutable_tags
        patterns = self._proxy.immutable_tags if own is None else own
        path = "$.proxy" if own is None else path
        for index, pattern in enumerate(patterns):
            if _TAGS.fullmatch(pattern) is None:
                place = below(f"{path}.immutable_tags", index)
                self._wrong("must be a tag in which * and ? may stand for others", place)
        return patterns

    def _mirrors(self, key: str, meant: document.Upstream, path: str) -> Iterable[UpstreamSite]:
        """They are shown no login, no certificate of ours, and not to the proxy."""
        for index, text in enumerate(meant.mirrors):
            url = self._url(text, below(f"{path}.mirrors", index))
            private = meant.allow_private_redirects
            yield UpstreamSite(key, url, allow_private_redirects=private, ca=meant.ca or None)

    def _add_limits(self, key: str, meant: document.Upstream, path: str) -> None:
        if meant.ca:
            tls.check_authorities(meant.ca, below(path, "ca"), self._problems)
        if meant.clientcert:
            places = below(path, "clientcert"), below(path, "clientkey")
            tls.check_pair(meant.clientcert, meant.clientkey or None, *places, self._problems)
        elif meant.clientkey:
            self._wrong("of no use without clientcert", below(path, "clientkey"))
        timeouts = self._timeouts(meant.timeouts, below(path, "timeouts"))
        if timeouts != self._proxy.timeouts:
            self.timeouts[key] = timeouts
        if meant.allow or meant.deny:
            allow = self._patterns(meant.allow, below(path, "allow"))
            deny = self._patterns(meant.deny, below(path, "deny"))
            self.repositories[key] = Patterns(allow, deny)

    def _spec(self, meant: document.Upstream, url: Url, path: str) -> Spec | None:
        return credentials.spec(meant, url.authority, path, self._problems, self._warnings)

    def _timeouts(self, own: document.OwnTimeouts, path: str) -> document.UpstreamTimeouts:
        given = {name: value for name, value in asdict(own).items() if value is not None}
        for name, seconds in given.items():
            if not seconds:
                self._wrong("must be more than 0", below(path, name))
        return evolve(self._proxy.timeouts, **given)

    def _patterns(self, patterns: tuple[str, ...], path: str) -> tuple[str, ...]:
        good = []
        for index, pattern in enumerate(patterns):
            try:
                repositories.check(pattern)
                good.append(pattern)
            except ValueError as error:
                self._wrong(str(error), below(path, index))
        return tuple(good)

    def _forward_proxy(self, text: str | None, path: str) -> ForwardProxy | None:
        if not text:
            return None
        found = forward_proxy(text)
        if found is None:
            # Never quote it: there may be a password in it.
            self._wrong("must be http://, https:// or socks5://[user:password@]host:port", path)
        return found

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


def forward_proxy(text: str) -> ForwardProxy | None:
    """None when it is no proxy's URL. socks5h is another word for socks5 here: names are always
    looked up by the proxy."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    scheme = "socks5" if parts.scheme == "socks5h" else parts.scheme
    spelt = urls.parse(f"http://{parts.netloc.rpartition('@')[2]}")
    if scheme not in _PROXY_PORTS or not host or spelt is None:
        return None
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return None
    login = None
    if parts.username is not None:
        login = Credentials(unquote(parts.username), unquote(parts.password or ""))
    bare = f"[{host}]" if ":" in host else host
    return ForwardProxy(f"{scheme}://{bare}:{port or _PROXY_PORTS[scheme]}", login)


_PROXY_PORTS = {"http": 80, "https": 443, "socks5": 1080}


def _key(url: Url) -> str:
    return HUB if url.authority in HUB_NAMES else url.authority


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
