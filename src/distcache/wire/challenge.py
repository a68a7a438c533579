"""Upstream's WWW-Authenticate, and the token service that it names.

The password goes to the upstream itself and to a realm of the same registrable domain
(`registry-1.docker.io` and `auth.docker.io`), to no other: an upstream, or whoever speaks for
it, must not be able to send it elsewhere by naming a realm (CVE-2020-15157).

Sources: RFC 9110 §11; CNCF Distribution, "Token Authentication Specification".
"""

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from attrs import frozen
from publicsuffixlist import PublicSuffixList

from ..core.events import Cause, Challenge, Secret
from . import oci_json, urls
from .headers import TOKEN, Headers, retry_after, values
from .outgoing import Credentials as Credentials
from .outgoing import HttpRequest, IdentityToken, Login, compose
from .sites import UpstreamSite
from .urls import Url, Zone

DEFAULT_LIFE = 60.0
"""Seconds that a token is good for when its service does not say (token specification)."""

LONGEST_LIFE = 7 * 24 * 3600.0
"""Seconds; what is said beyond it is taken as this."""

CLIENT = "distcache"
"""The `client_id` that the OAuth2 form wants."""

_SCHEME = re.compile(rf"[\s,]*({TOKEN})")
_PARAMETER = re.compile(rf'[\s,]*({TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.S)
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_GARBAGE = re.compile(r"[^,]*,?")
_BEARABLE = re.compile(r"[\x21-\x7e]+")


@frozen
class Grant:
    """`expires_in` seconds from when the answer was made."""

    token: Secret
    expires_in: float


@frozen
class Refusal:
    """What `core.events.TokenRefused` says. `cause` stands where the answer was no answer."""

    status: int | None
    cause: Cause | None = None
    retry_after: int | None = None


def challenges(site: UpstreamSite, headers: Headers) -> tuple[Challenge, ...]:
    """The Basic and Bearer challenges that can be taken up, in order; the rest is passed over,
    also a Bearer realm that is no URL or lies where upstream may not send us."""
    found = []
    for line in values(headers, b"www-authenticate"):
        for scheme, parameters in _parse(line):
            realm = parameters.get("realm", "")
            if scheme == "basic":
                found.append(Challenge(bearer=False, realm=realm))
            url = urls.parse(realm)
            if scheme == "bearer" and url is not None and _reachable(site, url):
                said = (parameters.get(name, "") for name in ("service", "scope", "error"))
                service, scope, error = said
                known = trusted(site.url, url)
                found.append(Challenge(True, realm, service, scope, known, error))
    return tuple(found)


def trusted(home: Url, realm: Url) -> bool:
    """Whether the password for the upstream at `home` may be shown to `realm`: the same host at
    any port, or the same registrable domain, and no step down from https."""
    if home.scheme == "https" and realm.scheme != "https":
        return False
    return home.host == realm.host or _same_domain(home.host, realm.host)


def token_request(challenge: Challenge, login: Login | None) -> HttpRequest:
    """The GET form: `service`, each scope of the space-separated list by itself, and `account`
    with the password when the realm is trusted with it. An identity token takes the POST form
    (OAuth2): a refresh token is of use in no other."""
    url = urls.parse(challenge.realm)
    assert url is not None, "challenges() passes over a realm that is no URL"
    shown = login if challenge.trusted else None
    if isinstance(shown, IdentityToken):
        return _refresh(url, challenge, shown)
    query = [("service", challenge.service)] if challenge.service else []
    query += [("scope", scope) for scope in challenge.scope.split()]
    query += [("account", shown.username)] if shown else []
    target = url.target
    for name, value in query:
        target += f"{'&' if '?' in target else '?'}{name}={quote(value, safe='/:,')}"
    return compose(
        "GET",
        Url(url.scheme, url.host, url.port, target),
        ("Accept", oci_json.JSON),
        ("Accept-Encoding", "identity"),
        ("Authorization", shown.basic() if shown else None),
    )


def token_answer(status: int, headers: Headers, body: bytes, now: float) -> Grant | Refusal:
    """What the token service answered at `now`."""
    if status != 200:
        return Refusal(status, retry_after=retry_after(headers, now))
    answer = oci_json.load(body)
    if isinstance(answer, dict):
        for name in ("token", "access_token"):
            token = answer.get(name)
            if isinstance(token, str) and _BEARABLE.fullmatch(token):
                return Grant(Secret(token), _life(answer.get("expires_in")))
    return Refusal(None, Cause.CUT)


def _refresh(url: Url, challenge: Challenge, identity: IdentityToken) -> HttpRequest:
    """RFC 6749 §6."""
    form = [("grant_type", "refresh_token"), ("client_id", CLIENT)]
    form += [("service", challenge.service)] if challenge.service else []
    form += [("scope", challenge.scope)] if challenge.scope else []
    form += [("refresh_token", identity.token.value)]
    return compose(
        "POST",
        url,
        ("Accept", oci_json.JSON),
        ("Accept-Encoding", "identity"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        body=urlencode(form).encode(),
    )


def _reachable(site: UpstreamSite, realm: Url) -> bool:
    # A step down from https is not forbidden here: without the password it harms nobody.
    here = Url(realm.scheme, site.url.host, site.url.port)
    return urls.may_lead(site.url, here, realm, site.allow_private_redirects)


def _same_domain(one: str, other: str) -> bool:
    if urls.zone(one) is not Zone.PUBLIC and urls.zone(one) is not Zone.PRIVATE:
        return False
    if ":" in one or ":" in other or one[-1:].isdigit() or other[-1:].isdigit():
        return False  # addresses have no domain
    domain = _suffixes().privatesuffix(one)
    return domain is not None and domain == _suffixes().privatesuffix(other)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def _life(expires_in: Any) -> float:
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        return DEFAULT_LIFE
    if isinstance(expires_in, float) and not math.isfinite(expires_in):
        return DEFAULT_LIFE
    return float(max(1, min(expires_in, LONGEST_LIFE)))


def _parse(line: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(scheme in lower case, parameters) of each challenge in one field line."""
    current: tuple[str, dict[str, str]] | None = None
    position = 0
    while position < len(line):
        if current and (parameter := _PARAMETER.match(line, position)):
            name, quoted, bare = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted, flags=re.S) if bare is None else bare
            current[1].setdefault(name.lower(), value)
            position = parameter.end()
        elif scheme := _SCHEME.match(line, position):
            if current:
                yield current
            current = (scheme[1].lower(), {})
            position = scheme.end()
            if token := _TOKEN68.match(line, position):
                position = token.end()
        else:
            garbage = _GARBAGE.match(line, position)
            position = max(garbage.end() if garbage else 0, position + 1)
    if current:
        yield current
