"""Where connections on behalf of an upstream may lead, once a name has become an address.

`wire.urls` judges names by their spelling; a harmless name may still resolve to an address
inside. So what a connection has reached is looked at before a byte is sent: an answer of the
resolver that changes from one question to the next cannot get around that.
"""

from collections.abc import Iterable

import httpcore
from attrs import frozen

from .. import log
from ..settings import Level
from ..wire import urls
from ..wire.sites import UpstreamSite
from ..wire.urls import Zone


class ForbiddenError(httpcore.ConnectError):
    """Upstream's own words led to an address that is none of its business."""


@frozen
class Reach:
    """`home` is the upstream's own host, or that of the proxy before it: its operator has named
    it, so it may be anywhere. `free`: everything else may be, too."""

    home: str
    free: bool = False

    def suspicious(self, host: str, address: str) -> bool:
        """Whether `address`, reached under the name `host`, is to be held against `permits`."""
        return not self.free and host != self.home and _zone(address) is not Zone.PUBLIC

    def permits(self, address: str, homes: Iterable[str]) -> bool:
        """An upstream that is inside itself, at the addresses `homes`, may lead to its like."""
        kinds = {urls.zone(self.home), *map(_zone, homes)} - {Zone.PUBLIC, Zone.NOWHERE}
        return _zone(address) in kinds

    def refuse(self, host: str, address: str) -> ForbiddenError:
        """The error to raise; the operator hears of it."""
        fields: dict[str, log.Value] = {"upstream": self.home, "host": host, "address": address}
        log.note(Level.WARN, "not connected: upstream led to an address inside", fields)
        return ForbiddenError(f"{host} is inside")


def reach_of(site: UpstreamSite) -> Reach:
    """A proxy looks names up by itself: what it may reach is for its operator to bound."""
    return Reach(site.url.host, site.allow_private_redirects or site.proxy is not None)


def _zone(address: str) -> Zone:
    # The kernel adds the interface to an address that is link-local.
    return urls.zone(address.partition("%")[0])
