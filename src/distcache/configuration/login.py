"""The `auth` section: who may ask this cache."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..access import HtpasswdRule, TokenRule
from ..access.rules import ALGORITHMS
from ..wire.headers import sendable
from . import document
from .files import parsed
from .tree import Problem, below

if TYPE_CHECKING:
    from ..access.keys import Keys

_SHARED_SECRETS = ("HS256", "HS384", "HS512")
"""The registry lists them, and has no way to be given such a key."""


def rule(
    auth: document.Auth, problems: list[Problem], warnings: list[Problem]
) -> HtpasswdRule | TokenRule | None:
    """None: nobody has to log in."""
    if auth.htpasswd is not None and auth.token is not None:
        problems.append(Problem("give one of htpasswd and token", "$.auth"))
    if auth.htpasswd is not None:
        return _htpasswd(auth.htpasswd, problems)
    return None if auth.token is None else _token(auth.token, problems, warnings)


def _htpasswd(meant: document.Htpasswd, problems: list[Problem]) -> HtpasswdRule:
    path = "$.auth.htpasswd"
    _required(meant, ("realm", "path"), path, problems)
    _header_words(meant, ("realm",), path, problems)
    if meant.path:
        from ..access import htpasswd

        parsed(meant.path, htpasswd.parse, below(path, "path"), problems)
    return HtpasswdRule(meant.realm, Path(meant.path))


def _token(
    meant: document.TokenAuth, problems: list[Problem], warnings: list[Problem]
) -> TokenRule:
    path = "$.auth.token"
    _required(meant, ("realm", "service", "issuer"), path, problems)
    _header_words(meant, ("realm", "service"), path, problems)
    place = below(path, "signingalgorithms")
    return TokenRule(
        realm=meant.realm,
        service=meant.service,
        issuer=meant.issuer,
        keys=_keys(meant, path, problems),
        allowed=_algorithms(meant.signingalgorithms, place, problems, warnings),
    )


def _keys(meant: document.TokenAuth, path: str, problems: list[Problem]) -> "Keys":
    from ..access import keys

    before = len(problems)
    bundle = jwks = keys.Keys()
    if meant.rootcertbundle:
        place = below(path, "rootcertbundle")
        bundle = parsed(meant.rootcertbundle, keys.bundle, place, problems) or bundle
    if meant.jwks:
        jwks = parsed(meant.jwks, keys.key_set, below(path, "jwks"), problems) or jwks
    found = bundle | jwks
    if not found and len(problems) == before:
        problems.append(Problem("give rootcertbundle or jwks: no key is known", path))
    return found


def _algorithms(
    names: tuple[str, ...], path: str, problems: list[Problem], warnings: list[Problem]
) -> frozenset[str]:
    if not names:
        return ALGORITHMS
    for index, name in enumerate(names):
        if name in _SHARED_SECRETS:
            why = "never used: there is no shared secret to verify it with"
            warnings.append(Problem(why, below(path, index)))
        elif name not in ALGORITHMS:
            problems.append(Problem("not an algorithm that the registry knows", below(path, index)))
    chosen = ALGORITHMS & set(names)
    if not chosen:
        problems.append(Problem("none of them can be used", path))
    return chosen


def _required(
    section: document.Htpasswd | document.TokenAuth,
    names: tuple[str, ...],
    path: str,
    problems: list[Problem],
) -> None:
    problems += [
        Problem("must be given", below(path, name)) for name in names if not getattr(section, name)
    ]


def _header_words(
    section: document.Htpasswd | document.TokenAuth,
    names: tuple[str, ...],
    path: str,
    problems: list[Problem],
) -> None:
    for name in names:
        value = getattr(section, name)
        if value and not sendable(value):
            problems.append(Problem("must be plain ASCII to stand in a header", below(path, name)))
