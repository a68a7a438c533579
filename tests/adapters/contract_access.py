"""What any adapter must do about who asks, what upstreams are shown, and where they may lead.

Taken over like `contract`.
"""

import base64
import json
import logging
import socket
import ssl
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from attrs import evolve

from distcache.access import HtpasswdRule, Patterns, Rules
from distcache.configuration.document import Seconds
from distcache.core.config import Config, Limits
from distcache.core.config import Upstream as Treatment
from distcache.core.oci import OCI_MANIFEST
from distcache.credentials import Helper, PasswordFile
from distcache.settings import ServerTls, Settings
from distcache.wire.outgoing import Credentials
from distcache.wire.sites import ForwardProxy, UpstreamSite
from distcache.wire.urls import Url
from tests.adapters import scripted as up
from tests.adapters.blocking import Client, Reset, Torn
from tests.adapters.certificates import certificate as certificate
from tests.adapters.harness import Bench, Benches, settings
from tests.adapters.scripted import PATIENCE, scripted
from tests.adapters.socks import socks
from tests.adapters.tunnel import tunnels
from tests.support.footprint import awaited

BODY = bytes(range(256)) * 8000
SMALL = b"a layer"
REALM = {"WWW-Authenticate": 'Basic realm="upstream"'}
WANTED = {"WWW-Authenticate": 'Bearer realm="https://auth.example/token",service="up"'}


def basic(user: str, password: str) -> str:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return f"Authorization: Basic {pair}"


def users(path: Path, **passwords: str) -> Rules:
    lines = [
        f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}"
        for user, password in passwords.items()
    ]
    path.write_text("\n".join(lines))
    return Rules("up", login=HtpasswdRule("here", path))


def changed(b: Bench, **changes: Any) -> Settings:
    """Those of the bench, with other treatment of its upstream."""
    return evolve(settings(b.root, b.upstream.port), **changes)


def sited(b: Bench, treatment: Treatment | None = None, **changes: Any) -> Settings:
    site = evolve(settings(b.root, b.upstream.port).sites["up"], **changes)
    mirrors = len(site.mirrors)
    core = Config({"up": treatment or Treatment(mirrors=mirrors)}, limits=Limits())
    return changed(b, sites={"up": site}, core=core)


def only_for(value: str, then: up.Script, otherwise: up.Script) -> up.Script:
    def script(one: socket.socket, asked: up.Asked) -> None:
        (then if asked.headers.get("authorization") == value else otherwise)(one, asked)

    return script


# Who asks


def test_nobody_is_served_without_the_right_password(
    benches: Benches, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "distcache.access")
    with benches(rules=users(tmp_path / "users", alice="right")) as b:
        path = b.upstream.blob("a/img", BODY)
        for target in (path, "/v2/", "/v2/_catalog", "/v2/a/img/nothing", "/elsewhere"):
            for fields in ((), (basic("alice", "wrong"),), (basic("bob", "right"),)):
                answer = b.get(target, "GET", *fields)
                assert answer.status == 401
                assert answer.headers["www-authenticate"] == 'Basic realm="here"'
        assert b.upstream.asked == []
        assert b.get("/").status == 200
        with b.connect() as client:
            assert client.get(path, "GET", basic("alice", "right")).body == BODY
            assert client.get("/v2/", "GET", basic("alice", "right")).status == 200
    said = [
        vars(record)["fields"].get("auth.user.name")
        for record in caplog.records
        if record.name == "distcache.access"
    ]
    assert [who for who in said if who] == ["alice", "alice"]
    assert "right" not in caplog.text


def test_requests_that_come_while_a_login_is_checked_are_kept(
    benches: Benches, tmp_path: Path
) -> None:
    with benches(rules=users(tmp_path / "users", alice="right")) as b, b.connect() as client:
        path = b.upstream.blob("a/img", SMALL)
        for target in (path, "/v2/", path):
            client.ask(target, "GET", basic("alice", "right"))
        assert [client.answer().body for _ in range(3)] == [SMALL, b"{}", SMALL]


def test_who_leaves_while_the_login_is_checked_is_forgotten(
    benches: Benches, tmp_path: Path
) -> None:
    with benches(rules=users(tmp_path / "users", alice="right")) as b:
        for _ in range(20):
            with b.connect() as client:
                client.ask("/v2/a/img/tags/list", "GET", basic("alice", "right"))
        assert b.get("/v2/", "GET", basic("alice", "right")).status == 200


def test_the_gate_is_built_anew(benches: Benches, tmp_path: Path) -> None:
    with benches() as b:
        assert b.get("/v2/").status == 200
        assert b.reload(changed(b, rules=users(tmp_path / "users", alice="right")))
        assert b.get("/v2/").status == 401
        (tmp_path / "users").unlink()
        assert b.reload(changed(b, rules=users(tmp_path / "others", bob="new")))
        assert b.get("/v2/", "GET", basic("alice", "right")).status == 401
        assert b.get("/v2/", "GET", basic("bob", "new")).status == 200


def test_a_file_of_users_that_cannot_be_read_lets_nobody_in(
    benches: Benches, tmp_path: Path
) -> None:
    rules = users(tmp_path / "users", alice="right")
    (tmp_path / "users").unlink()
    with benches(rules=rules) as b:
        answer = b.get("/v2/", "GET", basic("alice", "right"))
        assert answer.status == 503
        assert b"UNAVAILABLE" in answer.body


def test_repositories_that_are_not_served(benches: Benches) -> None:
    rules = Rules("up", repositories={"up": Patterns(allow=("a/*",), deny=("a/secret",))})
    with benches(rules=rules) as b:
        served = b.upstream.blob("a/img", SMALL)
        assert b.get(served).body == SMALL
        for name in ("b/img", "a/secret"):
            answer = b.get(b.upstream.blob(name, SMALL))
            assert answer.status == 403
            assert b"DENIED" in answer.body
        assert {asked.target for asked in b.upstream.asked} == {served}
        assert b.get("/v2/").status == 200


def test_a_manifest_gives_no_right_to_what_it_says_to_lie_elsewhere(benches: Benches) -> None:
    """Whoever may push can name a stranger's digest so: registries do not look for it."""
    with benches() as b:
        private = b.upstream.blob("a/private", BODY)
        assert b.get(private).body == BODY
        b.settled()
        layer = {"mediaType": "x/y", "digest": up.digest(BODY), "size": len(BODY)}
        tree = {"layers": [{**layer, "urls": ["https://cdn.example/x"]}], "blobs": [layer]}
        tag = b.upstream.manifest("b/evil", "v1", json.dumps(tree).encode())
        assert b.get(tag).status == 200
        b.settled()
        assert b.get(private.replace("a/private", "b/evil")).status == 404
        assert b.get(private).headers["cache-status"] == "distcache; hit"


def told(b: Bench, target: str, method: str, *fields: str) -> tuple[object, ...]:
    """All that a client can see of an answer but the time."""
    answer = b.get(target, method, *fields)
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status, headers, answer.body


def refusing(code: int) -> up.Script:
    """0: not even an answer."""
    if not code:
        return up.cut
    return up.status(code, REALM if code == 401 else {"Retry-After": "7"})


@pytest.mark.parametrize("code", [0, 400, 401, 403, 404, 405, 416, 429, 500, 501, 503])
def test_an_error_does_not_tell_what_another_repository_has(benches: Benches, code: int) -> None:
    refusal = refusing(code)
    quick = Limits(backoff=0.001, backoff_max=0.001)
    with benches(core=Config({"up": Treatment()}, limits=quick)) as b:
        document = up.manifest(SMALL)
        b.get(b.upstream.manifest("a/private", "v1", document))
        for held, kind in ((SMALL, "blobs"), (document, "manifests")):
            path = f"/v2/a/private/{kind}/{up.digest(held)}"
            b.upstream.on(path, up.whole(held, {"Content-Type": OCI_MANIFEST}))
            assert b.get(path).body == held
            b.settled()
            known, unknown = (f"/v2/b/other/{kind}/{up.digest(one)}" for one in (held, b"no one's"))
            b.upstream.on(known, refusal)
            b.upstream.on(unknown, refusal)
            for method in ("GET", "HEAD"):
                seen = []
                for target in (known, unknown):
                    told(b, target, method)
                    b.settled()
                    asked(b)
                    seen.append((told(b, target, method), asked(b)))
                    b.settled()
                assert seen[0] == seen[1]
                assert seen[0][1]


def asked(b: Bench) -> list[tuple[str, str, int]]:
    """What upstream has been asked since, by method and accepted types, and on how many connections
    so far: all that costs time."""
    made = [(one.method, one.headers["accept"], b.upstream.connections) for one in b.upstream.asked]
    b.upstream.asked.clear()
    b.upstream.connections = 0
    return made


ODD = (
    "/v2/a/../b/img/tags/list",
    "/v2/a/%2e%2e/b/img/tags/list",
    "/v2/a/%2E./b/img/tags/list",
    "/v2/a/.%252e/b/img/tags/list",
    "/v2//b/img/tags/list",
    "/v2/b%2F%2Fimg/tags/list",
    "/v2/b/img%00/tags/list",
    "/v2/b/img%0d%0aX-Evil:1/tags/list",
    "/v2/b/img%3fx/tags/list",
    "/v2/b/img%23x/tags/list",
    "/v2/b%5cimg/tags/list",
    "/v2/b/img/manifests/v1%0d%0aX-Evil:1",
    "/v2/b/img/manifests/..%2f..%2fsecret",
    "/v2/b/img/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd",
    "/../v2/b/img/tags/list",
    "/v2/b/img/tags/list?ns=evil.example",
    "/v2/b/img/tags/list?ns=up%0d%0aX-Evil:1",
    "/v2/b/img/tags/list?ns=127.0.0.1",
)


def test_no_spelling_of_a_path_leads_elsewhere(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with benches() as b:
        for target in ODD:
            answer = b.get(target)
            assert answer.status in (400, 404), target
            assert "x-evil" not in answer.headers
        assert b.upstream.asked == []
    assert not any("\n" in record.getMessage() for record in caplog.records)


# What upstreams are shown


def helper(path: Path, answer: str) -> Helper:
    path.write_text(f"#!/bin/sh\ncat >/dev/null\nprintf '%s' '{answer}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Helper(str(path), "up", 300.0)


def from_a_file(place: Path) -> PasswordFile:
    (place / "password").write_text("secret\n")
    return PasswordFile("user", place / "password")


def from_a_helper(place: Path) -> Helper:
    return helper(place / "helper", '{"Username": "user", "Secret": "secret"}')


@pytest.mark.parametrize("source", [from_a_file, from_a_helper])
def test_a_login_that_is_found_elsewhere_is_shown_to_upstream(
    benches: Benches,
    tmp_path: Path,
    source: Callable[[Path], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    core = Config({"up": Treatment(basic=True)}, limits=Limits())
    with benches(sources={"up": source(tmp_path)}, core=core) as b:
        login = Credentials("user", "secret").basic()
        right = only_for(login, up.whole(BODY), up.status(401, REALM))
        path = b.upstream.blob("a/img", BODY, right)
        assert b.get(path).body == BODY
    assert "secret" not in caplog.text


def test_a_password_that_changes_in_its_file_is_shown_from_then_on(
    benches: Benches, tmp_path: Path
) -> None:
    core = Config({"up": Treatment(basic=True)}, limits=Limits())
    with benches(sources={"up": from_a_file(tmp_path)}, core=core) as b:
        for number, password in enumerate(("secret", "a longer one")):
            (tmp_path / "password").write_text(password)
            login = Credentials("user", password).basic()
            right = only_for(login, up.whole(SMALL), up.status(401, REALM))
            path = b.upstream.blob(f"a/{number}", SMALL, right)
            # A file is looked at once a second.
            awaited(partial(b.get, path), lambda answer: answer.body == SMALL)


def test_without_its_login_upstream_is_not_asked_for_what_needs_one(
    benches: Benches, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core = Config({"up": Treatment(basic=True)}, limits=Limits())
    sources = {"up": Helper(str(tmp_path / "none"), "up", 300.0)}
    with benches(sources=sources, core=core) as b:
        path = b.upstream.blob("a/img", SMALL, up.status(401, REALM))
        assert b.get(path).status == 502
        assert [asked.headers.get("authorization") for asked in b.upstream.asked] == [None]
    assert "no login for upstream can be had" in caplog.text


def test_an_identity_token_is_for_a_token_service_only(benches: Benches, tmp_path: Path) -> None:
    core = Config({"up": Treatment(basic=True)}, limits=Limits())
    source = helper(tmp_path / "helper", '{"Username": "<token>", "Secret": "refresh"}')
    with benches(sources={"up": source}, core=core) as b:
        path = b.upstream.blob("a/img", SMALL, up.status(401, REALM))
        assert b.get(path).status == 502
        realm = f'Bearer realm="http://127.0.0.1:{b.upstream.port}/token",service="up"'
        with_token = only_for(
            "Bearer access", up.whole(BODY), up.status(401, {"WWW-Authenticate": realm})
        )
        path = b.upstream.blob("b/img", BODY, with_token)
        b.upstream.on("/token", up.status(200, {}, b'{"access_token": "access"}'))
        assert b.get(path).body == BODY
        assert b.upstream.count("POST", "/token") == 1


def test_no_log_tells_a_secret_at_any_level(
    benches: Benches, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor do those of the libraries."""
    caplog.set_level(logging.DEBUG)
    shown = [Credentials("upuser", "uppass").basic(), "Bearer access-secret", "Bearer own-secret"]
    core = Config({"up": Treatment(basic=True)}, limits=Limits())
    rules = users(tmp_path / "users", alice="clientpass")
    login = basic("alice", "clientpass")
    with benches(rules=rules, core=core, credentials={"up": Credentials("upuser", "uppass")}) as b:
        paths = [
            b.upstream.blob(
                "a/img", BODY, only_for(shown[0], up.whole(BODY), up.status(401, REALM))
            )
        ]
        assert b.get(paths[0], "GET", login).body == BODY
        place = f'Bearer realm="http://127.0.0.1:{b.upstream.port}/token",service="up"'
        wanted = up.status(401, {"WWW-Authenticate": place})
        paths.append(b.upstream.blob("b/img", SMALL, only_for(shown[1], up.whole(SMALL), wanted)))
        asked = "/token?service=up&scope=repository:b/img:pull&account=upuser"
        b.upstream.on(asked, up.status(200, {}, b'{"token": "access-secret"}'))
        assert b.get(paths[1], "GET", login).body == SMALL
        source = helper(tmp_path / "helper", '{"Username": "<token>", "Secret": "refresh-secret"}')
        assert b.reload(changed(b, core=core, sources={"up": source}, rules=Rules("up")))
        b.upstream.on("/token", up.status(200, {}, b'{"access_token": "access-secret"}'))
        third = b.upstream.blob("c/img", b"third", only_for(shown[1], up.whole(b"third"), wanted))
        assert b.get(third).body == b"third"
        assert b.reload(sited(b, passthrough=True))
        own = b.upstream.blob("d/img", b"own", only_for(shown[2], up.whole(b"own"), wanted))
        assert b.get(own, "GET", "Authorization: Bearer own-secret").body == b"own"
        assert b.get(own, "GET", "Authorization: Bearer wrong-secret").status == 401
        proxy = ForwardProxy(f"http://127.0.0.1:{b.upstream.port}", Credentials("me", "proxypass"))
        assert b.reload(sited(b, url=Url("http", "registry.example", 80), proxy=proxy))
        assert b.get("/v2/a/img/manifests/v1").status == 404
        seen = {a.headers.get("authorization") for a in b.upstream.asked}
        assert seen >= {None, *shown}
    told = "\n".join(f"{r.getMessage()} {vars(r)}" for r in caplog.records)
    assert "httpcore" in told
    assert "clientpass" not in told
    encoded = [value.partition(" ")[2] for value in (*shown, login.partition(": ")[2])]
    for secret in (
        "uppass",
        "-secret",
        "proxypass",
        Credentials("me", "proxypass").basic(),
        *encoded,
    ):
        assert secret not in told, secret


def test_clients_show_their_own_tokens_where_upstream_wants_them(benches: Benches) -> None:
    with benches() as b:
        assert b.reload(sited(b, passthrough=True))
        right = only_for("Bearer alices", up.whole(BODY), up.status(401, WANTED))
        path = b.upstream.blob("a/img", BODY, right)
        b.upstream.on("/v2/", up.status(401, WANTED))
        for target in ("/v2/", path):
            challenge = b.get(target).headers["www-authenticate"]
            assert challenge.startswith('Bearer realm="https://auth.example/token",service="up"')
        alice, bob = "Authorization: Bearer alices", "Authorization: Bearer bobs"
        assert b.get(path, "GET", alice).body == BODY
        b.settled()
        assert b.get(path, "GET", bob).status == 401
        assert b.get(path).status == 401
        assert b.get(path, "GET", basic("alice", "password")).status == 401
        assert b.get(path, "GET", alice).headers["cache-status"] == "distcache; hit"
        shown = {asked.headers.get("authorization") for asked in b.upstream.asked}
        assert shown == {None, "Bearer alices", "Bearer bobs"}


def test_upstream_s_word_on_a_token_reaches_its_client(benches: Benches) -> None:
    """By which containers/image learns which scope it should have asked for."""
    with benches() as b:
        assert b.reload(sited(b, passthrough=True))
        scope = 'scope="repository:a/img:pull"'
        wanted = f'{WANTED["WWW-Authenticate"]},{scope},error="insufficient_scope"'
        path = b.upstream.blob("a/img", SMALL, up.status(401, {"WWW-Authenticate": wanted}))
        answer = b.get(path.replace("/v2/", "/v2/up/"), "GET", "Authorization: Bearer other")
        assert answer.headers["www-authenticate"] == wanted


@pytest.mark.parametrize("shown", [(), ("Authorization: Bearer bobs",)])
@pytest.mark.parametrize("code", [401, 403, 404])
def test_who_is_refused_upstream_cannot_tell_what_is_held_for_others(
    benches: Benches, shown: tuple[str, ...], code: int
) -> None:
    with benches() as b:
        assert b.reload(sited(b, passthrough=True))
        refusal = up.status(code, WANTED if code == 401 else {})
        held, unknown = (b.upstream.blob("a/img", one) for one in (BODY, SMALL))
        b.upstream.on(held, only_for("Bearer alices", up.whole(BODY), refusal))
        b.upstream.on(unknown, only_for("Bearer alices", up.status(404), refusal))
        assert b.get(held, "GET", "Authorization: Bearer alices").body == BODY
        b.settled()
        for method in ("GET", "HEAD"):
            before = len(b.upstream.asked)
            seen = told(b, held, method, *shown)
            between = len(b.upstream.asked)
            assert seen == told(b, unknown, method, *shown)
            rounds = [one.method for one in b.upstream.asked[before:]]
            assert rounds[: between - before] == rounds[between - before :]
            assert seen[0] == code


# Whom they are asked through


def test_mirrors_are_asked_first_and_shown_nothing(benches: Benches) -> None:
    with benches() as b, scripted() as mirror:
        url = Url("http", "127.0.0.1", mirror.port, "/hub")
        mirrors = (UpstreamSite("up", url),)
        treatment = Treatment(basic=True, mirrors=1)
        kept = sited(b, treatment, mirrors=mirrors)
        credentials = {"up": Credentials("user", "secret")}
        assert b.reload(evolve(kept, credentials=credentials))
        there = b.upstream.blob("a/img", BODY)
        mirror.on(f"/hub{there}", up.whole(BODY))
        assert b.get(there).body == BODY
        assert b.upstream.asked == []
        login = Credentials("user", "secret").basic()
        private = only_for(login, up.whole(SMALL), up.status(401, REALM))
        path = b.upstream.blob("a/own", SMALL, private)
        mirror.on(f"/hub{path}", up.status(401, REALM))
        assert b.get(path).body == SMALL
        assert {asked.headers.get("authorization") for asked in mirror.asked} == {None}
        mirror.deaf()
        assert b.get(b.upstream.blob("a/third", b"third")).body == b"third"


def test_an_upstream_behind_a_forward_proxy(benches: Benches) -> None:
    with benches() as b:
        url = Url("http", "registry.example", 80)
        login = Credentials("me", "pass")
        proxy = ForwardProxy(f"http://127.0.0.1:{b.upstream.port}", login)
        assert b.reload(sited(b, url=url, proxy=proxy))
        path = b.upstream.blob("a/img", BODY)
        b.upstream.on(f"http://registry.example:80{path}", up.whole(BODY))
        assert b.get(path).body == BODY
        (asked,) = b.upstream.asked
        assert asked.headers["proxy-authorization"] == login.basic()
        assert asked.headers["host"] == "registry.example"
        refused = b.get("/v2/a/img/manifests/v1")
        assert refused.status == 404


def test_an_upstream_over_tls_behind_a_forward_proxy_that_will_not(benches: Benches) -> None:
    with benches() as b:
        proxy = ForwardProxy(f"http://127.0.0.1:{b.upstream.port}")
        assert b.reload(sited(b, url=Url("https", "registry.example", 443), proxy=proxy))
        b.upstream.on("registry.example:443", up.status(403))
        assert b.get("/v2/a/img/manifests/v1").status == 502
        assert {asked.method for asked in b.upstream.asked} == {"CONNECT"}


@pytest.mark.parametrize("willing", [True, False])
def test_an_upstream_behind_a_socks_proxy(benches: Benches, willing: bool) -> None:
    with benches() as b, socks(b.upstream.port, willing) as proxy:
        way = ForwardProxy(f"socks5://127.0.0.1:{proxy.port}", Credentials("me", "pass"))
        assert b.reload(sited(b, url=Url("http", "registry.example", 80), proxy=way))
        path = b.upstream.blob("a/img", BODY)
        answer = b.get(path)
        assert (answer.status, answer.body == BODY) == ((200, True) if willing else (502, False))
        assert set(proxy.heard) == {("me", "pass", "registry.example", 80)}


NAMED = Url("https", "registry.example", 443)


def speaking_tls(own: tuple[Path, Path], clients: Path | None = None) -> ssl.SSLContext:
    """A server's; with `clients` it demands a certificate that this authority vouches for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*own)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    return context


@pytest.mark.parametrize("secure", [False, True])
def test_an_upstream_over_tls_through_a_tunnel(
    benches: Benches, certificate: tuple[Path, Path], secure: bool
) -> None:
    own = speaking_tls(certificate)
    login = Credentials("me", "pass")
    with (
        scripted(own) as upstream,
        tunnels(upstream.port, own if secure else None) as proxy,
        benches() as b,
    ):
        way = ForwardProxy(f"http{'s' * secure}://127.0.0.1:{proxy.port}", login)
        assert b.reload(sited(b, url=NAMED, proxy=way, ca=str(certificate[0])))
        torn = BODY + BODY
        broken = up.until(torn, len(BODY), up.cut)
        for path, body in (
            (upstream.blob("a/img", BODY), BODY),
            (upstream.blob("a/img", torn, broken, up.whole(torn)), torn),
            (upstream.blob("a/img", SMALL), SMALL),
        ):
            answer = b.get(path)
            assert (answer.status, answer.body) == (200, body)
        for tag in ("one", "two", "three"):  # small questions, on the tunnel that is kept
            body = up.manifest(tag.encode())
            assert b.get(upstream.manifest("a/img", tag, body)).body == body
        assert set(proxy.heard) == {("registry.example:443", login.basic())}
        assert {asked.headers["host"] for asked in upstream.asked} == {"registry.example"}
        assert not any("proxy-authorization" in asked.headers for asked in upstream.asked)


@pytest.mark.parametrize("at", ["upstream", "proxy"])
def test_a_tunnel_with_a_stranger_at_its_end_carries_nothing(
    benches: Benches, certificate: tuple[Path, Path], at: str
) -> None:
    """The proxy cannot stand in for the upstream, nor a stranger for the proxy."""
    own = speaking_tls(certificate)
    with (
        scripted(own) as upstream,
        tunnels(upstream.port, own if at == "proxy" else None) as proxy,
        benches() as b,
    ):
        way = ForwardProxy(f"http{'s' * (at == 'proxy')}://127.0.0.1:{proxy.port}")
        assert b.reload(sited(b, url=NAMED, proxy=way))
        assert b.get(upstream.blob("a/img", SMALL)).status == 502
        assert upstream.asked == []
        assert bool(proxy.heard) == (at == "upstream")


def test_an_upstream_over_tls_behind_a_socks_proxy(
    benches: Benches, certificate: tuple[Path, Path]
) -> None:
    with (
        scripted(speaking_tls(certificate)) as upstream,
        socks(upstream.port, willing=True) as proxy,
        benches() as b,
    ):
        way = ForwardProxy(f"socks5://127.0.0.1:{proxy.port}", Credentials("me", "pass"))
        assert b.reload(sited(b, url=NAMED, proxy=way, ca=str(certificate[0])))
        assert b.get(upstream.blob("a/img", BODY)).body == BODY
        assert set(proxy.heard) == {("me", "pass", "registry.example", 443)}


def test_an_upstream_that_demands_a_certificate(
    benches: Benches, certificate: tuple[Path, Path]
) -> None:
    cert, key = map(str, certificate)
    with scripted(speaking_tls(certificate, certificate[0])) as upstream, benches() as b:
        url = Url("https", "127.0.0.1", upstream.port)
        path = upstream.blob("a/img", BODY)
        assert b.reload(sited(b, url=url, ca=cert))
        assert b.get("/v2/a/img/manifests/v1").status == 502
        assert b.reload(sited(b, url=url, ca=cert, client_cert=cert, client_key=key))
        assert b.get(path).body == BODY


def test_the_certificate_is_not_shown_where_upstream_leads(
    benches: Benches, certificate: tuple[Path, Path], resolver: dict[str, str]
) -> None:
    resolver["registry.example"] = "127.0.0.1"
    cert, key = map(str, certificate)
    context = speaking_tls(certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cert)
    shown: dict[str, bool] = {}

    def look(then: up.Script) -> up.Script:
        def script(one: socket.socket, asked: up.Asked) -> None:
            assert isinstance(one, ssl.SSLSocket)
            shown[asked.headers["host"].partition(":")[0]] = bool(one.getpeercert())
            then(one, asked)

        return script

    with scripted(context) as upstream, benches() as b:
        url = Url("https", "127.0.0.1", upstream.port)
        assert b.reload(sited(b, url=url, ca=cert, client_cert=cert, client_key=key))
        place = {"Location": f"https://registry.example:{upstream.port}/layer"}
        path = upstream.blob("a/img", BODY, look(up.status(307, place)))
        upstream.on("/layer", look(up.whole(BODY)))
        assert b.get(path).body == BODY
    assert shown == {"127.0.0.1": True, "registry.example": False}


def test_timeouts_of_ones_own(benches: Benches) -> None:
    with benches() as b:
        own = evolve(changed(b).upstream, headers=Seconds(0.05))
        assert b.reload(changed(b, timeouts={"up": own}))
        b.upstream.on("/v2/a/img/manifests/v1", up.hang)
        assert b.get("/v2/a/img/manifests/v1").status == 504


# TLS to clients


def tls_to(port: int, trusted: Path, own: tuple[Path, Path] | None = None) -> Client:
    context = ssl.create_default_context(cafile=trusted)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if own is not None:
        context.load_cert_chain(*own)
    raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    return Client(context.wrap_socket(raw, server_hostname="127.0.0.1"))


def test_clients_are_served_over_tls(benches: Benches, certificate: tuple[Path, Path]) -> None:
    with benches(tls=ServerTls(*certificate)) as b:
        assert b.server.url.startswith("https://")
        path = b.upstream.blob("a/img", BODY)
        cut = b.upstream.blob("a/cut", BODY[1:], up.whole(BODY[:-1] + b"!"))
        with tls_to(b.server.port, certificate[0]) as client:
            assert isinstance(client.socket, ssl.SSLSocket)
            assert client.socket.selected_alpn_protocol() == "http/1.1"
            for target in (path, "/v2/", path):
                client.ask(target)
            assert [client.answer().body for _ in range(3)] == [BODY, b"{}", BODY]
            b.settled()
            assert client.get(path).body == BODY
            with pytest.raises(Torn):
                client.get(cut)
        with tls_to(b.server.port, certificate[0]) as client:
            client.ask("/v2/", "GET", "Connection: close")
            assert client.answer().body == b"{}"
            assert client.end() == b""  # an end that TLS vouches for: else an SSLError


def test_plain_http_where_tls_is_spoken_is_told_so(
    benches: Benches, certificate: tuple[Path, Path]
) -> None:
    with benches(tls=ServerTls(*certificate)) as b:
        with b.connect() as client:
            client.ask("/v2/")
            assert client.end().startswith(b"HTTP/1.0 400 ")
        with b.connect() as client:
            client.say(b"\x16\x03\x01\x00\x05nonsense")
            client.end()
        with b.connect() as silent, tls_to(b.server.port, certificate[0]) as client:
            assert client.get("/v2/").status == 200
            b.server.stop()
            assert silent.end() == b""


def test_a_client_is_known_by_its_certificate(
    benches: Benches, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "distcache.access")
    tls = ServerTls(*certificate, client_cas=(certificate[0],), demanded=False)
    with benches(tls=tls, rules=Rules("up", certificate=True)) as b:
        with tls_to(b.server.port, certificate[0]) as client:
            assert client.get("/v2/").status == 403
        with tls_to(b.server.port, certificate[0], certificate) as client:
            assert client.get("/v2/").status == 200
    said = [
        vars(record)["fields"].get("auth.user.name")
        for record in caplog.records
        if record.name == "distcache.access"
    ]
    assert [who for who in said if who] == ["CN=test"]


def test_a_certificate_that_is_demanded(benches: Benches, certificate: tuple[Path, Path]) -> None:
    tls = ServerTls(*certificate, client_cas=(certificate[0],))
    with benches(tls=tls) as b:
        with (
            # The refusal comes while the client asks, or before, or after.
            pytest.raises((ssl.SSLError, ConnectionError, Reset, Torn)),
            tls_to(b.server.port, certificate[0]) as client,
        ):
            client.get("/v2/")
        with tls_to(b.server.port, certificate[0], certificate) as client:
            assert client.get("/v2/").status == 200


def test_a_renewed_certificate_is_taken_up(
    benches: Benches,
    certificate: tuple[Path, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "distcache")
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    for here, there in zip(files, certificate, strict=True):
        here.write_bytes(there.read_bytes())
    with benches(tls=ServerTls(*files)) as b:

        def messages() -> list[str]:
            with tls_to(b.server.port, certificate[0]) as client:
                assert client.get("/v2/").status == 200
            return caplog.messages

        def told(message: str) -> None:
            awaited(messages, lambda said: message in said)

        files[1].write_bytes(b"no key at all")
        told("the new certificate cannot be used")
        files[1].write_bytes(certificate[1].read_bytes())
        told("the certificate was renewed")
        files[0].write_bytes(b"nothing")
        assert not b.reload(changed(b, tls=ServerTls(*files)))
        with tls_to(b.server.port, certificate[0]) as client:
            assert client.get("/v2/").status == 200


# Circles and crowds


def test_a_request_that_has_been_here_is_refused(benches: Benches) -> None:
    with benches() as b:
        tag = b.upstream.manifest("a/img", "v1", up.manifest(SMALL))
        assert b.get(tag).status == 200
        own = b.upstream.asked[0].headers["via"]
        b.upstream.asked.clear()
        for via in (own, f"1.1 proxy, {own}", "1.1 x, " * 200):
            answer = b.get("/v2/a/new/manifests/v1", "GET", f"Via: {via}")
            assert answer.status == 508
        assert b.upstream.asked == []
        b.get("/v2/a/new/manifests/v1", "GET", "Via: 1.1 other")
        assert {asked.headers["via"] for asked in b.upstream.asked} == {f"1.1 other, {own}"}


def test_caches_in_a_circle_find_out(benches: Benches) -> None:
    other = Benches(benches.runtime, benches.root.with_name("other"), alone=False)
    with benches() as one, other() as two:
        two.reload(settings(two.root, one.server.port))
        one.reload(settings(one.root, two.server.port))
        assert one.get("/v2/a/img/manifests/v1").status == 502
        assert two.get("/v2/b/img/manifests/v1").status == 502


def test_a_cache_is_an_upstream_like_any_other(benches: Benches) -> None:
    other = Benches(benches.runtime, benches.root.with_name("other"), alone=False)
    with benches() as inner, other() as outer:
        assert outer.reload(settings(outer.root, inner.server.port))
        document = up.manifest(BODY)
        tag = inner.upstream.manifest("a/img", "v1", document)
        path = inner.upstream.blob("a/img", BODY)
        head = outer.get(path, "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, str(len(BODY)))
        assert inner.upstream.count("GET", path) == 0
        part = outer.get(path, "GET", f"Range: bytes={len(BODY) - 7}-")
        assert (part.status, part.body) == (206, BODY[-7:])
        assert outer.get(tag).body == document
        outer.settled()
        inner.settled()
        for bench in (inner, outer):
            assert bench.get(path).body == BODY
            assert bench.get(path).headers["cache-status"] == "distcache; hit"
        assert inner.upstream.count("GET", path) == 1
        outside, inside = (bench.upstream.asked for bench in (outer, inner))
        assert outside == []
        assert {asked.headers["via"].count(",") for asked in inside} == {1}


def test_one_address_does_not_take_every_place(
    benches: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    with benches(max_connections=10, max_connections_per_client=2) as b, b.connect() as one:
        with b.connect() as two:
            assert one.get("/v2/").status == two.get("/v2/").status == 200
            for _ in range(3):
                with b.connect() as third, pytest.raises(Torn):
                    third.get("/v2/")
            raw = socket.create_connection(("127.0.0.1", b.server.port), PATIENCE, ("127.0.0.2", 0))
            with Client(raw) as elsewhere:
                assert elsewhere.get("/v2/").status == 200
        # Its place is free once the server has seen it go.
        awaited(lambda: _served(b), bool)
    assert caplog.text.count("too many connections from one address") == 1


def _served(b: Bench) -> bool:
    try:
        return b.get("/v2/").status == 200
    except Torn:
        return False


# Where upstreams lead


INSIDE = "http://cdn.example:{}/layer"


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Addresses by name; a name is public or not as its address is, and the first question for a
    port is answered with this machine's: the tests' upstreams are nowhere else."""
    names: dict[str, str] = {}
    real = socket.getaddrinfo

    def fake(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host in names and kwargs.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        if host in names:
            return real(names[host] if not port else "127.0.0.1", port, *args, **kwargs)
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return names


@pytest.mark.parametrize(
    ("home", "allowed", "status"),
    [("192.0.2.1", False, 502), ("8.8.8.8", False, 502), ("127.0.0.1", False, 200),
     ("8.8.8.8", True, 200)],
)  # fmt: skip
def test_a_public_upstream_does_not_lead_inside_by_a_harmless_name(
    benches: Benches,
    resolver: dict[str, str],
    home: str,
    allowed: bool,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    resolver.update({"registry.example": home, "cdn.example": "127.0.0.1"})
    with benches() as b:
        port = b.upstream.port
        url = Url("http", "registry.example", port)
        assert b.reload(sited(b, url=url, allow_private_redirects=allowed))
        redirect = up.status(307, {"Location": INSIDE.format(port)})
        path = b.upstream.blob("a/img", BODY, redirect)
        b.upstream.on("/layer", up.whole(BODY))
        assert b.get(path).status == status
        assert b.upstream.count("GET", "/layer") == (status == 200)
    assert ("upstream led to an address inside" in caplog.text) == (status != 200)


def test_a_token_service_inside_is_not_asked_for_a_public_upstream(
    benches: Benches, resolver: dict[str, str]
) -> None:
    resolver.update({"registry.example": "8.8.8.8", "auth.example": "10.0.0.1"})
    with benches() as b:
        port = b.upstream.port
        assert b.reload(sited(b, url=Url("http", "registry.example", port)))
        realm = f'Bearer realm="http://auth.example:{port}/token",service="up"'
        path = b.upstream.blob("a/img", BODY, up.status(401, {"WWW-Authenticate": realm}))
        assert b.get(path).status == 502
        assert b.upstream.count("GET", "/token?service=up") == 0


# What is left in a connection


def test_an_answer_that_nobody_asked_for_answers_nothing(benches: Benches) -> None:
    """RFC 9112 section 6.3."""
    with benches() as b:
        wrong = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
        body = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(SMALL), SMALL)
        path = b.upstream.blob("a/img", SMALL, up.raw(body + wrong))
        assert b.get(path).body == SMALL
        b.settled()
        for number in range(3):
            other = b"other %d" % number
            assert b.get(b.upstream.blob("a/img", other)).body == other
        assert b.upstream.connections == 2
