"""The debug listener's pages and API, as whoever reaches the port finds them."""

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from distcache.admin import key
from distcache.admin.api import Api, Limits
from distcache.admin.dashboard import Dashboard
from distcache.admin.names import Names
from distcache.admin.recent import Recent
from distcache.operations.at_rest import open_at_rest
from distcache.settings import load
from distcache.testing.runtimes import RuntimeName
from tests.adapters.blocking import Client, Torn
from tests.adapters.scripted import Gate, after, reset, rest, scripted, until, whole
from tests.commands.shop import Shop
from tests.support.origin import Origin

PASSWORD = "very-secret-indeed"
PAGES = ["/", "/live", "/dashboard.css", "/dashboard.js", "/livez", "/readyz", "/debug/health"]
QUESTIONS = ["status", "images", "why?ref=old:1", "du", "fills", "upstreams"]
ORDERS = ["pin?ref=old:1", "unpin?ref=old:1", "forget?ref=old:1", "prune?max_size=0"]
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()


@pytest.fixture(params=["trio", "asyncio"])
def site(request: pytest.FixtureRequest, shop: Shop) -> Iterator[Shop]:
    hub = {"remoteurl": f"http://127.0.0.1:{shop.upstream.port}"}
    shop.proxy = {"upstreams": {"docker.io": hub | {"username": "u", "password": PASSWORD}}}
    shop.configure()
    with shop.running(request.param):
        yield shop


def ask(shop: Shop, target: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", shop.debug_port, timeout=30)
    try:
        connection.request(method, target, headers=headers)
        with connection.getresponse() as response:
            return Answer(response)
    finally:
        connection.close()


def front(shop: Shop, target: str) -> int:
    """The status of a client's pull."""
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
    try:
        connection.request("GET", target)
        with connection.getresponse() as response:
            response.read()
            return response.status
    finally:
        connection.close()


@pytest.mark.parametrize("target", [*PAGES, *(f"/api/v1/{name}" for name in QUESTIONS), "/none"])
def test_no_page_can_be_framed_read_by_others_sniffed_or_kept(site: Shop, target: str) -> None:
    answer = ask(site, target)
    assert answer.status == (404 if target == "/none" else 200)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "charset=utf-8" in answer.headers["Content-Type"] or target not in ("/", "/live")


def test_no_page_shows_a_secret(site: Shop) -> None:
    secret = (site.store / key.NAME).read_text()
    for target in [*PAGES, *(f"/api/v1/{name}" for name in QUESTIONS)]:
        text = ask(site, target).text
        assert PASSWORD not in text
        assert secret not in text


def test_the_page_has_no_script_or_style_but_its_own(site: Shop) -> None:
    page = ask(site, "/?ref=old:1").text
    assert re.findall(r'(?:src|href)="(/dashboard\.\w+)"', page) == [
        "/dashboard.css",
        "/dashboard.js",
    ]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://", page)
    assert page.count("<script") == 1


def test_what_was_searched_for_stays_text(site: Shop) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in HOSTILE.encode())
    page = ask(site, f"/?ref={quoted}").text
    assert "<img" not in page
    assert page.count("<script") == 1
    assert "&lt;script&gt;" in page


def test_what_upstream_says_stays_text(shop: Shop) -> None:
    settings = load(shop.config, {})
    with open_at_rest(settings.core, shop.store) as cache:
        api = Api(cache, Names(settings.sites, settings.default), Limits(10, None, evict=True))
        recent = Recent(cache.now)
        recent.failed(HOSTILE, 502, HOSTILE)
        recent.answered(HOSTILE, 1, hit=True)
        pages = Dashboard(api, recent, lambda: (1, 1, 1, 1), {}, cache.now).pages()
        text = pages["/live"]({}).body.decode()
    assert "<img" not in text
    assert "<script" not in text
    assert text.count("&lt;img src=x") == 3


@pytest.mark.parametrize("target", [f"/api/v1/{name}" for name in ORDERS])
def test_orders_need_the_key_by_post(site: Shop, target: str) -> None:
    before = site.ask("ls")
    secret = (site.store / key.NAME).read_text()
    shown = {"Authorization": f"Bearer {secret}"}
    elsewhere = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
    basic = {"Authorization": f"Basic {secret}"}
    for headers in ({}, elsewhere, basic, {"Authorization": "Bearer x"}, {"Cookie": secret}):
        answer = ask(site, target, "POST", **headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert ask(site, target, "GET", **shown).status == 404
    assert ask(site, target, "OPTIONS", **elsewhere).status == 405
    assert ask(site, target, "PUT", **shown).status == 405
    assert site.ask("ls") == before
    assert ask(site, target, "POST", **shown).status == 200


def test_questions_by_post_are_no_orders(site: Shop) -> None:
    shown = {"Authorization": f"Bearer {(site.store / key.NAME).read_text()}"}
    assert ask(site, "/api/v1/images", "POST", **shown).status == 404


@pytest.mark.parametrize("target", ["/", "/api/v1/status", "/livez", "/none"])
def test_head_is_get_without_the_body(site: Shop, target: str) -> None:
    head = ask(site, target, "HEAD")
    assert (head.status, head.text) == (ask(site, target).status, "")


@pytest.mark.parametrize(
    "target",
    [
        "/?ref=%00%ff%0d%0a",
        "/api/v1/why?ref=%ff%fe",
        "/api/v1/",
        "/api/v1/%2e%2e",
        "/?" + "&" * 999,
    ],
)
def test_odd_targets_are_answered(site: Shop, target: str) -> None:
    answer = ask(site, target)
    assert answer.status in (200, 400, 404)
    assert site.ask("ls")["images"]


def test_the_page_says_what_the_api_says(site: Shop) -> None:
    page = ask(site, "/?ref=old:1").text
    why = json.loads(ask(site, "/api/v1/why?ref=old:1").text)
    assert why["digest"] in page
    assert "docker.io/library/old:1" in page
    assert '<progress id="disk"' not in page, "no limit is set"


def figure(shop: Shop, name: str, labels: str) -> float:
    """Of /metrics; 0 where it is not told yet."""
    text = ask(shop, "/metrics").text
    found = re.search(rf"^{name}{{{labels}}} (\S+)$", text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_bytes_are_told_while_they_come_and_go(tmp_path: Path, runtime: RuntimeName) -> None:
    layer, there = bytes(4_000_000), 1_000_000
    with scripted() as upstream:
        shop = Shop(tmp_path, Origin(upstream.port))
        shop.http["debug"] = {"addr": shop.debug, "prometheus": {"enabled": True}}
        shop.configure()
        gate = Gate()
        script = until(layer, there, after(gate, rest(layer, there)))
        path = upstream.blob("ml/weights", layer, script)
        came = ("distcache_upstream_bytes_total", 'kind="blob",upstream="docker.io"')
        went = ("distcache_sent_bytes_total", 'kind="blob",source="upstream"')
        with shop.running(runtime), Client.to(shop.port) as client:
            client.ask(path)
            client.head()
            client.take(there)
            while figure(shop, *came) < there or figure(shop, *went) < there:
                pass
            assert figure(shop, *came) == figure(shop, *went) == there
            assert ask(shop, "/live").text.count("<dd>1.0 MB</dd>") == 2
            gate.set()
            client.take(len(layer) - there)
            while json.loads(ask(shop, "/api/v1/status").text)["exchanges"]:
                pass
            assert figure(shop, *came) == figure(shop, *went) == len(layer)


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_an_answer_that_was_cut_off_is_shown_with_its_reason(
    tmp_path: Path, runtime: RuntimeName
) -> None:
    layer = bytes(100_000)
    other = b"x" + layer[1:]
    with scripted() as upstream:
        shop = Shop(tmp_path, Origin(upstream.port))
        shop.configure()
        path = upstream.blob("ml/weights", layer, whole(other))
        with shop.running(runtime):
            with Client.to(shop.port) as client, pytest.raises(Torn):
                client.get(path)
            while "cut off" not in (text := ask(shop, "/live").text):
                pass
    assert "docker.io sent content that does not match its digest" in text
    assert "docker.io/ml/weights@sha256:" in text


def test_a_signature_that_is_not_there_is_no_error_to_be_shown(site: Shop) -> None:
    for tag in (f"sha256-{'0' * 64}.sig", f"sha256-{'0' * 64}", "really-none"):
        assert front(site, f"/v2/library/old/manifests/{tag}") == 404
    assert front(site, f"/v2/library/old/referrers/sha256:{'0' * 64}") == 404
    shown = ask(site, "/live").text
    assert "really-none" in shown
    assert "sha256-" not in shown
    assert "listing" not in shown


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_an_upstream_that_did_not_answer_last_is_not_called_well(
    tmp_path: Path, runtime: RuntimeName
) -> None:
    with scripted() as upstream:
        shop = Shop(tmp_path, Origin(upstream.port))
        hub = {"remoteurl": f"http://127.0.0.1:{upstream.port}"}
        shop.proxy = {"upstreams": {"docker.io": hub}}
        shop.configure()
        path = upstream.blob("team/app", b"layer")
        with shop.running(runtime):
            assert ask(shop, "/live").text.count(">well<") == 1
            upstream.on(path, reset)
            assert front(shop, path) == 502
            assert "did not answer last: " in ask(shop, "/live").text
            upstream.on(path, whole(b"layer"))
            assert front(shop, path) == 200
            assert ask(shop, "/live").text.count(">well<") == 1
