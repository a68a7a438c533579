"""A client's own authority at an upstream: the token it shows, and the challenge it is given.

Only Bearer tokens and Bearer challenges go through: a Basic challenge handed on would have the
client send its password for another host here.
"""

import json
import math
from base64 import urlsafe_b64decode
from hashlib import blake2b

from ..core.events import Challenge
from ..core.oci import Secret
from ..core.pull import Authority
from .headers import Headers, only

ANONYMOUS = Authority("anonymous")

_LONGEST_CLAIMS = 16 * 1024


def shown(headers: Headers) -> Authority:
    """What a request's Authorization says (RFC 6750 §2.1). Its name is a hash: it stands for the
    token in memory and tells nothing of it."""
    value = only(headers, b"authorization") or ""
    scheme, _, token = value.partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token.isascii() or not token.isprintable() or not token:
        return ANONYMOUS
    name = blake2b(token.encode(), digest_size=16).hexdigest()
    return Authority(name, Secret(f"Bearer {token}"), _expires(token))


def handed_on(challenge: Challenge) -> str:
    """WWW-Authenticate (RFC 9110 §11.6.1; CNCF Distribution, token authentication). With
    `error="insufficient_scope"` containers/image asks for the scope that is named instead of the
    one that it has made of the path by which it came."""
    parts = {
        "realm": challenge.realm,
        "service": challenge.service,
        "scope": challenge.scope,
        "error": challenge.error,
    }
    said = [f'{name}="{_escaped(value)}"' for name, value in parts.items() if value]
    return "Bearer " + ",".join(said)


def _expires(token: str) -> float | None:
    """The `exp` that a JWT claims of itself (RFC 7519 §4.1.4), None for another kind of token:
    whether it is true, upstream judges; here it only ends what is remembered."""
    parts = token.split(".")
    if len(parts) != 3 or len(parts[1]) > _LONGEST_CLAIMS:
        return None
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        expires = float(claims["exp"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    return expires if math.isfinite(expires) else None


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
