"""Places on the network: absolute http and https URLs, and which of them upstream may name.

Only the spelling of a host is judged here, nothing is looked up: a name that resolves to a
private address is beyond this module.
"""

import re
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from attrs import frozen

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_.])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ILLEGAL = re.compile(r"[^\x21-\x7e]")
_NAT64 = IPv6Network("64:ff9b::/96")
_PRIVATE_SUFFIXES = (".local", ".internal", ".lan", ".home.arpa", ".localdomain")


@frozen
class Url:
    """`host` in lower case, IPv6 without brackets; `port` never left open; `target` is path and
    query as they go on the wire, ASCII, starting with a slash."""

    scheme: str
    host: str
    port: int
    target: str = "/"

    @property
    def origin(self) -> tuple[str, str, int]:
        """RFC 6454 §4."""
        return (self.scheme, self.host, self.port)

    @property
    def authority(self) -> str:
        """As Host wants it: brackets around IPv6, no default port (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


class Zone(Enum):
    """How far away a host is, judged by its spelling."""

    PUBLIC = "public"
    PRIVATE = "private"
    LINK_LOCAL = "link-local"
    LOOPBACK = "loopback"
    NOWHERE = "nowhere"
    """Unspecified, multicast, or a number that is no address."""


def parse(text: str, base: Url | None = None) -> Url | None:
    """An absolute URL, or a reference resolved against `base` (RFC 3986 §5).

    None for another scheme, user information (RFC 9110 §4.2.4), control characters, a port or
    host that cannot be. Characters that a URL may not hold are percent-encoded, the rest is
    kept byte for byte: signatures cover it. A fragment is dropped."""
    if _CONTROL.search(text):
        return None
    text = _ILLEGAL.sub(_encode, text.strip(" "))
    try:
        parts = urlsplit(urljoin(str(base), text) if base else text)
        host, port = parts.hostname or "", parts.port
        named = "[" not in parts.netloc
        if not named:
            IPv6Address(host)
    except ValueError:
        return None
    if parts.scheme not in _PORTS or "@" in parts.netloc or port == 0:
        return None
    # A scope (`%eth0`) means something on one machine only.
    if "%" in host or (named and not _HOST.fullmatch(host)):
        return None
    query = f"?{parts.query}" if parts.query else ""
    path = parts.path if parts.path.startswith("/") else f"/{parts.path}"
    return Url(parts.scheme, host, port or _PORTS[parts.scheme], path + query)


def query(**fields: str) -> str:
    """Names and values as a query string, without the question mark."""
    return urlencode(fields, quote_via=quote, safe="")


def query_without(url: str, *names: str) -> str:
    """The query string of `url` without the fields of these names."""
    fields = parse_qsl(url.partition("#")[0].partition("?")[2], keep_blank_values=True)
    kept = [(name, value) for name, value in fields if name not in names]
    return urlencode(kept, quote_via=quote, safe="")


def origin_form(target: str) -> tuple[str | None, str]:
    """A request-target (RFC 9112 §3.2) as (authority of the absolute form or None, path and
    query)."""
    absolute = re.match(r"https?://([^/?#]*)", target, re.I)
    if absolute is None:
        return None, target
    rest = target[absolute.end() :]
    return absolute[1], rest if rest.startswith("/") else f"/{rest}"


def zone(host: str) -> Zone:
    """Addresses in every spelling that resolvers take (`127.1`, `0x7f000001`, `::ffff:7f00:1`),
    and the names that never leave a machine or a site."""
    name = host.rstrip(".")
    address = _address(name)
    if address is not None:
        return _zone_of(address)
    if _ends_in_number(name):
        return Zone.NOWHERE
    if name in ("localhost", "localhost.localdomain") or name.endswith(".localhost"):
        return Zone.LOOPBACK
    local = "." not in name or name.endswith(_PRIVATE_SUFFIXES)
    return Zone.PRIVATE if local else Zone.PUBLIC


def may_lead(home: Url, here: Url, there: Url, private: bool) -> bool:
    """Whether an answer of `here`, asked on behalf of the upstream at `home`, may send us to
    `there`: never down from https; to addresses that are not public only within the
    upstream's own kind, or where the operator allows `private` ones."""
    if here.scheme == "https" and there.scheme != "https":
        return False
    goal = zone(there.host)
    if private or goal is Zone.PUBLIC:
        return True
    return goal is zone(home.host) and goal is not Zone.NOWHERE


def _encode(match: re.Match[str]) -> str:
    encoded = match[0].encode("latin-1" if match[0] <= "\xff" else "utf-8", "replace")
    return "".join(f"%{byte:02X}" for byte in encoded)


def _ends_in_number(name: str) -> bool:
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rpartition(".")[2]) is not None


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return _legacy_ipv4(name)


def _legacy_ipv4(name: str) -> IPv4Address | None:
    """One to four numbers in base 8, 10 or 16, the last filling the rest (inet_aton)."""
    parts = name.split(".")
    if len(parts) > 4 or not all(re.fullmatch(r"0x[0-9a-f]{0,16}|[0-9]{1,16}", p) for p in parts):
        return None
    try:
        numbers = [int(p[2:] or "0", 16) if p[:2] == "0x" else _decimal(p) for p in parts]
    except ValueError:
        return None
    *leading, rest = numbers
    if any(n > 255 for n in leading) or rest >= 256 ** (4 - len(leading)):
        return None
    value = sum(n << (24 - 8 * i) for i, n in enumerate(leading)) + rest
    return IPv4Address(value)


def _decimal(part: str) -> int:
    return int(part, 8 if part.startswith("0") and len(part) > 1 else 10)


def _zone_of(address: IPv4Address | IPv6Address) -> Zone:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _zone_of(inner)
    if address.is_loopback:
        return Zone.LOOPBACK
    if address.is_unspecified or address.is_multicast:
        return Zone.NOWHERE
    if address.is_link_local:
        return Zone.LINK_LOCAL
    return Zone.PUBLIC if address.is_global else Zone.PRIVATE
