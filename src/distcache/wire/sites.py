"""What the wire must know of one upstream (how it is treated is `core.config.Upstream`)."""

from attrs import evolve, frozen

from .outgoing import Credentials
from .urls import Url


@frozen
class ForwardProxy:
    """The way to an upstream: `url` is http://, https:// or socks5:// with host and port."""

    url: str
    login: Credentials | None = None


@frozen(cache_hash=True)
class UpstreamSite:
    """`key` is the registry host that image references name. `url.target` is the path prefix
    before `/v2/`. `aliases` are further values of `?ns=` that mean this upstream, `hosts` the
    virtual hosts of ours that stand for it. `hub`: one-part names get `library/` in front.
    For the adapters: `ca` is the path of a PEM file to trust besides the system's;
    `client_cert` and `client_key` those of the certificate to show and of its key (None: in the
    same file). `passthrough`: clients log in there themselves. `mirrors` are asked first, in
    their order; of theirs only `url`, `ca` and the client certificate count."""

    key: str
    url: Url
    aliases: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    hub: bool = False
    allow_private_redirects: bool = False
    passthrough: bool = False
    mirrors: tuple["UpstreamSite", ...] = ()
    ca: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    proxy: ForwardProxy | None = None

    def stranger(self) -> "UpstreamSite":
        """The way to a host that is not the upstream's own: no certificate is shown there."""
        if self.client_cert is None:
            return self
        return evolve(self, client_cert=None, client_key=None)
