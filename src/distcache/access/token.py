"""Bearer tokens of a token service that the operator runs, as the CNCF Distribution registry
takes them (`auth.token`): JWTs that name repositories and actions.

PyJWT verifies the signature and nothing else: it has been kept up since 2011 and is what most of
Python uses. The four claims are compared here, because time is an argument.

Sources: RFC 7519; CNCF Distribution, "Token Authentication Implementation".
"""

from collections.abc import Iterable

import jwt
from attrs import frozen

from ..core.events import Secret
from ..wire import oci_json
from .keys import UntrustedKey, algorithms
from .memory import Memory
from .rules import TokenRule

LEEWAY = 60.0
"""Seconds that the issuer's clock may be off; the registry's."""

Access = frozenset[tuple[str, str, str]]
"""(type, name, action), as in `("repository", "library/alpine", "pull")`."""


class InvalidToken(Exception):
    """Why, for the log; quotes nothing of the token."""


@frozen
class TokenGrant:
    """What a token allows `subject` to do until then."""

    subject: str
    access: Access
    until: float

    def pull(self, names: Iterable[str]) -> bool:
        """Whether a repository that has one of these names may be pulled. Names are compared as
        they are: the registry knows no patterns."""
        return any(
            ("repository", name, action) in self.access
            for name in names
            for action in ("pull", "*")
        )

    def catalog(self) -> bool:
        return ("registry", "catalog", "*") in self.access


class Tokens:
    """Verifies tokens under one rule, and remembers those that were right. Times are in seconds
    of the epoch."""

    def __init__(self, rule: TokenRule) -> None:
        self._rule = rule
        self._right: Memory[TokenGrant] = Memory()

    def cached(self, token: Secret, now: float) -> TokenGrant | None:
        """At once; None says nothing: `check`."""
        return self._right.find(token.value.encode(), now=now)

    def check(self, token: Secret, now: float) -> TokenGrant:
        """Takes up to a millisecond for each certificate in the token. Raises InvalidToken."""
        known = self.cached(token, now)
        if known is None:
            known = verify(self._rule, token, now)
            self._right.keep(token.value.encode(), value=known, until=known.until)
        return known


def verify(rule: TokenRule, token: Secret, now: float) -> TokenGrant:
    """Raises InvalidToken."""
    claims = _claims(rule, token, now)
    if claims.get("iss") != rule.issuer:
        raise InvalidToken("the token is from another issuer")
    audience = claims.get("aud")
    if rule.service not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidToken("the token is for another service")
    until = _time(claims.get("exp")) + LEEWAY
    if until <= now:
        raise InvalidToken("the token has run out")
    if _time(claims.get("nbf")) - LEEWAY > now:
        raise InvalidToken("the token is not valid yet")
    subject = claims.get("sub", "")
    if not isinstance(subject, str):
        raise InvalidToken("the token's subject is no text")
    return TokenGrant(subject, frozenset(_access(claims.get("access"))), until)


def _claims(rule: TokenRule, token: Secret, now: float) -> dict[str, object]:
    """The claims of a token whose signature is right."""
    jws = jwt.PyJWS()
    try:
        key = rule.keys.find(jws.get_unverified_header(token.value), now)
        fitting = sorted(rule.allowed & algorithms(key))
        payload = jws.decode(token.value, key, algorithms=fitting)
    except UntrustedKey as error:
        raise InvalidToken(str(error)) from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise InvalidToken("the token or its signature is malformed") from None
    claims = oci_json.load(payload)
    if not isinstance(claims, dict):
        raise InvalidToken("the token holds no claims")
    return claims


def _time(value: object) -> float:
    """A NumericDate (RFC 7519 §2); absent counts as the epoch, as in the registry."""
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e12:
        raise InvalidToken("the token has a time that is none")
    return float(value)


def _access(listed: object) -> Iterable[tuple[str, str, str]]:
    if listed is None:
        return
    if not isinstance(listed, list):
        raise InvalidToken("the token's access is no list")
    for entry in listed:
        members = entry if isinstance(entry, dict) else {}
        kind, name, actions = (members.get(key) for key in ("type", "name", "actions"))
        if not isinstance(kind, str) or not isinstance(name, str):
            raise InvalidToken("the token's access is malformed")
        for action in actions if isinstance(actions, list) else []:
            if isinstance(action, str):
                yield kind, name, action
