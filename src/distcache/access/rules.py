"""What a configuration says of logins. Apart from what checks them: most caches have none, and the
libraries for it take longer to load than all the rest."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from .repositories import Patterns

if TYPE_CHECKING:
    from .keys import Keys

RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ALGORITHMS = RSA_ALGORITHMS | {*CURVE_ALGORITHMS.values(), "EdDSA"}
"""What can be verified. Not HS256 and its like: there the registry would hold the issuer's
secret, and neither of the two files has one."""


@frozen
class HtpasswdRule:
    """The registry's `auth.htpasswd`."""

    realm: str
    path: Path


@frozen
class TokenRule:
    """The registry's `auth.token`. `keys` and `algorithms` are not empty."""

    realm: str
    service: str
    issuer: str
    keys: "Keys"
    allowed: frozenset[str] = ALGORITHMS


@frozen
class Rules:
    """`certificate`: every client must have shown one in the handshake. `repositories` by
    upstream's key, where not everything is served. `default` is the default upstream's key."""

    default: str
    login: HtpasswdRule | TokenRule | None = None
    certificate: bool = False
    repositories: Mapping[str, Patterns] = field(factory=dict)
