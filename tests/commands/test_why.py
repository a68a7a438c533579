"""`why`: what upstream said last, for whom something was fetched, and what is left of the quota."""

import base64
import http.client
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from distcache.admin import key
from distcache.testing.runtimes import RuntimeName
from tests.adapters.scripted import Upstream, digest, scripted, status, whole
from tests.commands.shop import Shop
from tests.support.origin import Origin

MANIFEST = json.dumps({"schemaVersion": 2, "layers": []}).encode()
REF = "team/app:1"
BY_DIGEST = f"team/app@{digest(MANIFEST)}"
PATH = "/v2/team/app/manifests/1"
COUNTED = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "76;w=21600"}
EVERY_RUNTIME = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


@pytest.fixture
def registry() -> Iterator[Upstream]:
    with scripted() as made:
        yield made


@pytest.fixture
def cache(tmp_path: Path, registry: Upstream) -> Shop:
    """Nothing is held yet."""
    shop = Shop(tmp_path, Origin(registry.port))
    shop.configure()
    return shop


def has(registry: Upstream) -> None:
    fields = {
        "Content-Type": "application/vnd.oci.image.manifest.v1+json",
        "Docker-Content-Digest": digest(MANIFEST),
    }
    for reference in ("1", digest(MANIFEST)):
        registry.on(f"/v2/team/app/manifests/{reference}", whole(MANIFEST, fields | COUNTED))


def pull(shop: Shop, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
    try:
        connection.request("GET", PATH, headers=headers)
        with connection.getresponse() as response:
            response.read()
            return response.status
    finally:
        connection.close()


def ask(shop: Shop, target: str, **headers: str) -> str:
    """The debug listener."""
    connection = http.client.HTTPConnection("127.0.0.1", shop.debug_port, timeout=30)
    try:
        connection.request("GET", target, headers=headers)
        with connection.getresponse() as response:
            return response.read().decode()
    finally:
        connection.close()


def login(shop: Shop) -> dict[str, str]:
    users = shop.directory / "htpasswd"
    users.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    shop.auth["htpasswd"] = {"realm": "cache", "path": str(users)}
    shop.configure()
    return {"Authorization": f"Basic {base64.b64encode(b'alice:secret').decode()}"}


def facts(shop: Shop, ref: str = REF) -> dict[str, str]:
    """What is printed for people, by its name."""
    done = shop.run("why", ref)
    assert done.exit_code == 0
    rows = (line.partition("  ") for line in done.stdout.splitlines()[1:])
    return {name: value.strip() for name, _, value in rows}


def told(shop: Shop, ref: str = REF) -> dict[str, Any]:
    said = shop.ask("why", ref)
    return {name: said[name] for name in ("answered", "filled", "quota")}


def fetched(shop: Shop, **headers: str) -> None:
    assert pull(shop, **headers) == 200
    shop.settle()


@EVERY_RUNTIME
def test_what_a_login_s_pull_has_brought(
    cache: Shop, registry: Upstream, runtime: RuntimeName
) -> None:
    shown = login(cache)
    has(registry)
    begun = time.time()
    with cache.running(runtime):
        fetched(cache, **shown, **{"User-Agent": "docker/28.1 go/1.23"})
        said = told(cache)
    at = said["answered"].pop("at")
    assert begun <= at <= said["filled"]["at"] <= time.time()
    assert said["answered"] == {"status": 200, "error": None, "mirror": None}
    who = {"user": "alice", "address": "127.0.0.1", "agent": "docker"}
    filled = said["filled"]
    assert (filled["by"], filled["client"], filled["status"]) == ("user", who, 200)
    assert filled["repository"] == "docker.io/team/app"
    quota = said["quota"]
    assert (quota["remaining"], quota["limit"], quota["limited_until"]) == (76, 100, None)
    assert begun <= quota["counted"] == quota["renewed"] - 21600 <= time.time()


@EVERY_RUNTIME
def test_it_is_known_when_no_server_runs_any_more(
    cache: Shop, registry: Upstream, runtime: RuntimeName
) -> None:
    has(registry)
    with cache.running(runtime):
        fetched(cache, **{"User-Agent": "crane/1"})
        before, content = told(cache), told(cache, BY_DIGEST)
        assert facts(cache)["upstream's quota"].startswith("76 of 100 left on 20")
    after = told(cache)
    assert (after["answered"], after["filled"]) == (before["answered"], before["filled"])
    assert told(cache, BY_DIGEST)["filled"] == content["filled"] == before["filled"]
    assert after["quota"]["limit"] is None
    shown = facts(cache)
    assert shown["upstream's last answer"].startswith("200, 20")
    assert shown["fetched"].endswith("for somebody at 127.0.0.1 with crane, as docker.io/team/app")
    assert shown["upstream's quota"] == "not known"


@EVERY_RUNTIME
@pytest.mark.parametrize("code", [404, 429, 503])
def test_what_upstream_refused_with(
    cache: Shop, registry: Upstream, runtime: RuntimeName, code: int
) -> None:
    registry.on(PATH, status(code))
    with cache.running(runtime):
        assert facts(cache)["upstream's last answer"] == "not known"
        pull(cache)
        said = told(cache)
        assert (said["answered"]["status"], said["answered"]["error"]) == (code, None)
        assert said["filled"] is None
        shown = facts(cache)
        assert shown["upstream's last answer"].startswith(f"{code}, 20")
        assert "fetched" not in shown


@EVERY_RUNTIME
def test_that_upstream_cannot_be_reached(
    cache: Shop, registry: Upstream, runtime: RuntimeName
) -> None:
    has(registry)
    with cache.running(runtime):
        fetched(cache)
        assert facts(cache)["upstream's last answer"].startswith("200, ")
        registry.close()
        assert pull(cache) == 200, "it is served without upstream"
        said = told(cache)["answered"]
        assert (said["status"], said["error"]) == (None, "cannot be reached")
        assert facts(cache)["upstream's last answer"].startswith("cannot be reached, ")


def test_a_mirror_is_named(cache: Shop, registry: Upstream) -> None:
    has(registry)
    hub = {"remoteurl": "http://127.0.0.1:1", "mirrors": [f"http://127.0.0.1:{registry.port}"]}
    cache.proxy = {"upstreams": {"docker.io": hub}}
    cache.configure()
    with cache.running():
        fetched(cache)
    said = told(cache)
    assert (said["answered"]["mirror"], said["filled"]["mirror"]) == (0, 0)
    shown = facts(cache)
    assert "200 from mirror 1, " in shown["upstream's last answer"]
    assert shown["fetched"].endswith("as docker.io/team/app from mirror 1")


@EVERY_RUNTIME
def test_for_which_client_it_was_is_told_to_who_has_the_key(
    cache: Shop, registry: Upstream, runtime: RuntimeName
) -> None:
    shown = login(cache)
    has(registry)
    with cache.running(runtime):
        fetched(cache, **shown, **{"User-Agent": "docker/28.1"})
        secret = (cache.store / key.NAME).read_text()
        target = f"/api/v1/why?ref={REF}"
        for credentials in ("", "Bearer x", f"Basic {secret}"):
            filled = json.loads(ask(cache, target, Authorization=credentials))["filled"]
            assert (filled["by"], filled["client"]) == ("user", None)
        filled = json.loads(ask(cache, target, Authorization=f"Bearer {secret}"))["filled"]
        assert filled["client"]["user"] == "alice"
        page = ask(cache, f"/?ref={REF}", Authorization=f"Bearer {secret}")
        # However slow this machine is.
        ago = r"<dt>fetched</dt><dd>\d+ s ago, for a client that had logged in, as "
        assert re.search(ago, page)
        assert "<dd>200, " in page
        left = r"<dd>76 of 100 left, all of it again in (359|360) min at the latest</dd>"
        assert re.search(left, page)
        for word in ("alice", "127.0.0.1", "docker/", "secret"):
            assert word not in page
        # Who may not read the key is told of no client.
        (cache.store / key.NAME).write_text("")
        assert facts(cache)["fetched"].endswith(
            "for somebody who had logged in, as docker.io/team/app"
        )


def test_warm_says_so(shop: Shop) -> None:
    """It was fetched when another server ran."""
    assert shop.ask("why", "old:1")["filled"]["by"] == "warm"
    assert "for warm at 127.0.0.1 with distcache-warm" in facts(shop, "old:1")["fetched"]
    with shop.running():
        assert ", for warm, as docker.io/library/old</dd>" in ask(shop, "/?ref=old:1")


def test_what_an_older_store_does_not_say_is_not_guessed(shop: Shop) -> None:
    index = sqlite3.connect(shop.store / "index.sqlite")
    index.executescript("DELETE FROM fills; UPDATE tags SET answer = NULL;")
    index.close()
    said = told(shop, "old:1")
    assert (said["answered"], said["filled"]) == (None, None)
    shown = facts(shop, "old:1")
    assert shown["upstream's last answer"] == "not known"
    assert shown["fetched"] == "not known when and for whom"
    with shop.running():
        assert "<dd>not known when and for whom</dd>" in ask(shop, "/?ref=old:1")
