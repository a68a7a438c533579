"""Values that several tests of the wire use."""

from distcache.core.oci import Content, Digest, Kind, Repository
from distcache.core.pull import ByDigest, Method, Pull
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url

HEX = "0123456789abcdef" * 4
DIGEST = Digest(f"sha256:{HEX}")
OTHER = Digest("sha256:" + "ab" * 32)
LONG = Digest(f"sha512:{HEX}{HEX}")
NOON = 784_111_777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, the moment in RFC 9110's examples."""

HUB = UpstreamSite(
    "docker.io",
    Url("https", "registry-1.docker.io", 443),
    aliases=("index.docker.io", "registry-1.docker.io"),
    hub=True,
)
GHCR = UpstreamSite("ghcr.io", Url("https", "ghcr.io", 443), hosts=("ghcr.cache.local",))
LOCAL = UpstreamSite("localhost:5001", Url("http", "127.0.0.1", 5001, "/mirror/"))
SITES = {site.key: site for site in (HUB, GHCR, LOCAL)}

REPOSITORY = Repository("docker.io", "library/alpine")
BLOB = Content(Kind.BLOB, DIGEST)
MANIFEST = Content(Kind.MANIFEST, DIGEST)
GET_BLOB = Pull(Method.GET, ByDigest(REPOSITORY, BLOB))
