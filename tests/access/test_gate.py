"""The gate: who gets what, and what the others are told."""

from pathlib import Path

import bcrypt
import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from distcache.access import (
    Allowed,
    Asked,
    Challenge,
    Check,
    Gate,
    HtpasswdRule,
    Patterns,
    Refused,
    Rules,
    Verdict,
    asked,
)
from distcache.access.keys import bundle
from distcache.core.effects import Code
from distcache.core.oci import Repository
from distcache.core.pull import Catalog
from distcache.wire.routes import Router
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url
from tests.access.signing import NOON, REALM, SERVICE, certify, claims, key, rule, sign
from tests.access.test_authorization import packed

ALPINE = Repository("docker.io", "library/alpine")
APP = Repository("ghcr.io", "owner/app")
CATALOG = Catalog()
EVERYTHING: tuple[Asked, ...] = (None, ALPINE, APP, CATALOG)
SIGNER = certify("signer", key("ES256"))
TOKENS = Rules("docker.io", rule(bundle(SIGNER.pem)))
OPEN = Rules("docker.io")


@define
class Guard:
    """A gate whose checks are run on the spot, and what it reported."""

    rules: Rules
    gate: Gate = field(init=False)
    reports: list[str] = field(factory=list)
    checks: int = 0

    def __attrs_post_init__(self) -> None:
        self.gate = Gate(self.rules, lambda said, fields: self.reports.append(f"{said} {fields}"))

    def judge(
        self,
        authorization: str | None,
        asked: Asked = None,
        subject: str | None = None,
        now: float = NOON,
    ) -> Verdict:
        verdict = self.gate.judge(authorization, asked, subject, now)
        if isinstance(verdict, Check):
            self.checks += 1
            return verdict.job()
        return verdict


NOBODY = Guard(Rules("docker.io", HtpasswdRule("r", Path("/dev/null"))))
"""Behind a file without users."""


@pytest.fixture
def users(tmp_path: Path) -> Rules:
    path = tmp_path / "htpasswd"
    path.write_bytes(b"alice:" + bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)))
    return Rules("docker.io", HtpasswdRule("the realm", path))


def bearer(**changes: object) -> str:
    return "Bearer " + sign(claims(**changes), SIGNER.key, x5c=SIGNER.x5c)


def access(name: str, kind: str = "repository", *actions: str) -> dict[str, object]:
    return {"access": [{"type": kind, "name": name, "actions": actions or ["pull"]}]}


@pytest.mark.parametrize("authorization", [None, "Basic YTpi", "Bearer x", "junk"])
def test_without_rules_everybody_gets_everything(authorization: str | None) -> None:
    for target in EVERYTHING:
        assert Guard(OPEN).judge(authorization, target) == Allowed(None)
        assert Guard(OPEN).judge(authorization, target, "CN=a") == Allowed("CN=a")


# Passwords


@pytest.mark.parametrize(
    "authorization", [None, "", "junk", "Bearer x", "Basic Og==", "Basic !", "Basic YTpi, Bearer x"]
)
def test_without_a_login_a_password_is_asked_for(users: Rules, authorization: str | None) -> None:
    guard = Guard(users)
    wanted = Challenge('Basic realm="the realm"', Code.UNAUTHORIZED, "authentication required")
    for target in EVERYTHING:
        assert guard.judge(authorization, target) == wanted
    assert guard.checks == 0


def test_a_right_password_opens_everything_and_is_checked_once(users: Rules) -> None:
    guard = Guard(users)
    for target in EVERYTHING:
        assert guard.judge(f"Basic {packed('alice:s3cret')}", target) == Allowed("alice")
    assert guard.checks == 1


@pytest.mark.parametrize("pair", ["alice:guess", "mallory:s3cret", "alice:", "ALICE:s3cret"])
def test_a_wrong_one_is_asked_for_again_whoever_it_is(users: Rules, pair: str) -> None:
    guard = Guard(users)
    verdict = guard.judge(f"Basic {packed(pair)}", ALPINE)
    assert verdict == guard.judge(None, ALPINE)
    assert guard.judge(f"Basic {packed(pair)}", ALPINE) == verdict


def test_a_file_that_cannot_be_read_lets_nobody_in_and_is_told_of(tmp_path: Path) -> None:
    guard = Guard(Rules("docker.io", HtpasswdRule("r", tmp_path / "none")))
    for _ in range(2):
        verdict = guard.judge(f"Basic {packed('alice:s3cret')}", ALPINE)
        assert verdict == Refused(503, Code.UNAVAILABLE, "logins cannot be checked now")
    assert guard.judge(None, ALPINE) == Challenge(
        'Basic realm="r"', Code.UNAUTHORIZED, "authentication required"
    )
    (report,) = guard.reports
    assert "cannot be read" in report
    assert "s3cret" not in report


@given(st.text(max_size=40) | st.binary(max_size=30).map(lambda b: f"Basic {packed(b)}"))
def test_nothing_that_is_no_login_comes_in(authorization: str) -> None:
    for guard in (Guard(TOKENS), NOBODY):
        for target in EVERYTHING:
            assert isinstance(guard.judge(authorization, target), Challenge)


def test_a_gate_keeps_no_password_and_no_token(users: Rules) -> None:
    token = bearer()
    for rules, authorization in ((users, f"Basic {packed('alice:s3cret')}"), (TOKENS, token)):
        guard = Guard(rules)
        assert guard.judge(authorization) == Allowed("alice")
        kept = [guard.gate, *vars(guard.gate).values()]
        inner = [vars(one) for one in kept if hasattr(one, "__dict__")]
        shown = repr(
            (kept, inner, [vars(x) for i in inner for x in i.values() if hasattr(x, "__dict__")])
        )
        assert "s3cret" not in shown
        assert token.removeprefix("Bearer ") not in shown


# Tokens


def wanted(scope: str = "", error: str = "") -> Challenge:
    text = f'Bearer realm="{REALM}",service="{SERVICE}"'
    text += f',scope="{scope}"' if scope else ""
    text += f',error="{error}"' if error else ""
    return Challenge(text, Code.UNAUTHORIZED, "authentication required")


SCOPES = {
    None: "",
    ALPINE: "repository:library/alpine:pull",
    APP: "repository:ghcr.io/owner/app:pull",
    CATALOG: "registry:catalog:*",
}


@pytest.mark.parametrize("target", EVERYTHING)
@pytest.mark.parametrize("authorization", [None, "Basic YTpi", "junk", "Bearer "])
def test_without_a_token_one_is_asked_for(authorization: str | None, target: Asked) -> None:
    assert Guard(TOKENS).judge(authorization, target) == wanted(SCOPES[target])


@pytest.mark.parametrize("target", EVERYTHING)
@pytest.mark.parametrize("authorization", ["Bearer x", bearer(iss="other"), bearer(exp=NOON - 100)])
def test_a_worthless_token_is_called_so(authorization: str, target: Asked) -> None:
    guard = Guard(TOKENS)
    assert guard.judge(authorization, target) == wanted(SCOPES[target], "invalid_token")
    (report,) = guard.reports
    assert authorization.removeprefix("Bearer ") not in report.removeprefix("a client's token")


def test_any_valid_token_opens_the_base() -> None:
    assert Guard(TOKENS).judge(bearer(access=None), None) == Allowed("alice")
    assert Guard(TOKENS).judge(bearer(access=None, sub=""), None) == Allowed(None)


def test_a_token_opens_what_it_names_and_nothing_else() -> None:
    guard = Guard(TOKENS)
    token = bearer()
    assert guard.judge(token, ALPINE) == Allowed("alice")
    for target in (APP, CATALOG, Repository("docker.io", "library/alpine2")):
        error = "insufficient_scope"
        said = guard.judge(token, target)
        assert isinstance(said, Challenge)
        assert said.www_authenticate.endswith(f',error="{error}"')
    assert guard.checks == 1


def test_one_name_at_two_upstreams_is_two_rights() -> None:
    """`owner/app` of the default upstream is not `owner/app` of another."""
    here = Repository("docker.io", "owner/app")
    short = bearer(**access("owner/app"))
    full = bearer(**access("ghcr.io/owner/app"))
    guard = Guard(TOKENS)
    assert guard.judge(short, here) == Allowed("alice")
    assert isinstance(guard.judge(short, APP), Challenge)
    assert guard.judge(full, APP) == Allowed("alice")
    assert isinstance(guard.judge(full, here), Challenge)
    assert guard.judge(bearer(**access("docker.io/owner/app")), here) == Allowed("alice")


def test_the_catalog_takes_the_registrys_own_scope() -> None:
    guard = Guard(TOKENS)
    assert guard.judge(bearer(**access("catalog", "registry", "*")), CATALOG) == Allowed("alice")
    assert isinstance(guard.judge(bearer(**access("catalog", "registry")), CATALOG), Challenge)


def test_a_known_token_that_has_run_out_is_verified_again() -> None:
    guard = Guard(TOKENS)
    token = bearer()
    assert guard.judge(token, ALPINE) == Allowed("alice")
    late = guard.judge(token, ALPINE, now=NOON + 3600)
    assert late == wanted(SCOPES[ALPINE], "invalid_token")


# Certificates


def test_without_a_certificate_nobody_gets_anything(users: Rules) -> None:
    for rules in (OPEN, users, TOKENS):
        guard = Guard(evolve(rules, certificate=True))
        for target in EVERYTHING:
            verdict = guard.judge(f"Basic {packed('alice:s3cret')}", target)
            assert verdict == Refused(403, Code.DENIED, "a client certificate is wanted")


def test_a_certificate_does_not_stand_for_a_login(users: Rules) -> None:
    guard = Guard(evolve(users, certificate=True))
    assert isinstance(guard.judge(None, ALPINE, "CN=a"), Challenge)
    assert guard.judge(f"Basic {packed('alice:s3cret')}", ALPINE, "CN=a") == Allowed("alice")
    assert Guard(evolve(OPEN, certificate=True)).judge(None, ALPINE, "CN=a") == Allowed("CN=a")


# Repositories


def test_what_is_not_served_is_denied_after_the_login(users: Rules) -> None:
    only = {"docker.io": Patterns(allow=("library/*",))}
    guard = Guard(evolve(users, repositories=only))
    other = Repository("docker.io", "owner/app")
    assert isinstance(guard.judge(None, other), Challenge)
    alice = f"Basic {packed('alice:s3cret')}"
    denied = Refused(403, Code.DENIED, "this cache does not serve that repository")
    assert guard.judge(alice, other) == denied
    assert guard.judge(alice, ALPINE) == Allowed("alice")
    assert guard.judge(alice, APP) == Allowed("alice")
    assert guard.judge(alice, CATALOG) == Allowed("alice")
    tokens = Guard(evolve(TOKENS, repositories=only))
    assert tokens.judge(bearer(**access("owner/app")), other) == denied


# Answers


def test_the_answers_are_the_registrys() -> None:
    reply = wanted(SCOPES[ALPINE]).reply()
    assert (reply.status, reply.content_type) == (401, "application/json")
    assert b'"code":"UNAUTHORIZED"' in reply.body.replace(b" ", b"")
    assert reply.headers == (("WWW-Authenticate", wanted(SCOPES[ALPINE]).www_authenticate),)
    reply = Refused(403, Code.DENIED, "no").reply()
    assert (reply.status, reply.headers) == (403, ())
    assert b"DENIED" in reply.body


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/v2/", None),
        (b"/", None),
        (b"/v2/alpine/manifests/3", ALPINE),
        (b"/v2/alpine/tags/list", ALPINE),
        (b"/v2/alpine/referrers/sha256:" + b"0" * 64, ALPINE),
        (b"/v2/ghcr.io/owner/app/blobs/sha256:" + b"0" * 64, APP),
        (b"/v2/owner/app/manifests/1?ns=ghcr.io", APP),
        (b"/v2/owner/app/manifests/1?ns=elsewhere.io", None),
        (b"/v2/_catalog", CATALOG),
    ],
)
def test_what_a_request_touches(target: bytes, expected: Asked) -> None:
    sites = {
        "docker.io": UpstreamSite("docker.io", Url("https", "hub", 443), hub=True),
        "ghcr.io": UpstreamSite("ghcr.io", Url("https", "ghcr.io", 443)),
    }
    assert asked(Router(sites, "docker.io").route(b"GET", target, [], b"1.1")) == expected
