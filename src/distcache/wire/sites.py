"""What the wire must know of one upstream (how it is treated is `core.config.Upstream`)."""

from attrs import frozen

from .urls import Url


@frozen
class UpstreamSite:
    """`key` is the registry host that image references name. `url.target` is the path prefix
    before `/v2/`. `aliases` are further values of `?ns=` that mean this upstream, `hosts` the
    virtual hosts of ours that stand for it. `hub`: one-part names get `library/` in front.
    `ca` is the path of a PEM file to trust besides the system's, used by the adapters.
    `passthrough`: clients log in there themselves. `mirrors` are asked first."""

    key: str
    url: Url
    aliases: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    hub: bool = False
    allow_private_redirects: bool = False
    passthrough: bool = False
    mirrors: tuple["UpstreamSite", ...] = ()
    ca: str | None = None
