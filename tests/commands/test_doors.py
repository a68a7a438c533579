"""Every command works with a cache that does not let everybody in: by its debug listener and the
key in its store, and with what a client of its own would show."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest

from distcache.testing.runtimes import RuntimeName
from tests.access import signing
from tests.access.signing import key, lasting, write
from tests.commands.shop import Shop
from tests.operations.old_registry import Old

Shown = tuple[list[str | Path], dict[str, str]]
"""Options and environment of a command that goes in by the front door."""

COMMANDS: dict[str, list[str]] = {
    "ls": ["library"],
    "why": ["old:1"],
    "du": [],
    "pin": ["old:1"],
    "unpin": ["old:1"],
    "prune": ["--older-than", "1h"],
    "forget": ["old:1"],
    "verify": [],
    "healthcheck": [],
    "check": [],
    "client-config": ["docker"],
}


def password(shop: Shop) -> Shown:
    users = shop.directory / "htpasswd"
    users.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    shop.auth["htpasswd"] = {"realm": "cache", "path": str(users)}
    basic = base64.b64encode(b"alice:secret").decode()
    return [], {"DISTCACHE_AUTHORIZATION": f"Basic {basic}"}


def token(shop: Shop) -> Shown:
    signer = lasting("tokens", key("ES256"))
    (shop.directory / "tokens.pem").write_bytes(signer.pem)
    shop.auth["token"] = {
        "realm": signing.REALM,
        "service": signing.SERVICE,
        "issuer": signing.ISSUER,
        "rootcertbundle": str(shop.directory / "tokens.pem"),
    }
    scope = {"type": "repository", "name": "library/old", "actions": ["pull"]}
    now = int(time.time())
    said = signing.claims(exp=now + 3600, nbf=now - 3600, iat=now, access=[scope])
    bearer = signing.sign(said, signer.key, x5c=signer.x5c)
    return [], {"DISTCACHE_AUTHORIZATION": f"Bearer {bearer}"}


def certificate(shop: Shop) -> Shown:
    authority = lasting("clients", key("ES256", 1), authority=True)
    own = write(shop.directory / "own.pem", lasting("cache", key("ES256")))
    shop.http["tls"] = {
        "certificate": str(own),
        "key": str(own),
        "clientcas": [str(write(shop.directory / "ca.pem", authority))],
    }
    client = lasting("alice", key("ES256", 2), authority)
    return ["--cert", write(shop.directory / "alice.pem", client)], {}


DOORS = pytest.mark.parametrize("door", [password, token, certificate])
RUNTIMES = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


@RUNTIMES
@DOORS
def test_every_command_works_behind_every_door(
    shop: Shop, door: Callable[[Shop], Shown], runtime: RuntimeName
) -> None:
    words, environment = door(shop)
    shop.configure()
    with shop.running(runtime):
        said = {name: shop.run(name, *line, "--json") for name, line in COMMANDS.items()}
        assert {name: done.exit_code for name, done in said.items()} == dict.fromkeys(COMMANDS, 0)
        assert all(isinstance(json.loads(done.stdout), dict) for done in said.values())
        assert shop.run("warm", "old:1", *words, **environment).exit_code == 0
        # Only what is fetched through the front door wants what opens it.
        assert shop.run("warm", "old:1").exit_code != 0
    Old(shop.directory / "registry").image("team/app", "1", [b"layer"])
    assert shop.run("import", shop.directory / "registry").exit_code == 0


@RUNTIMES
@DOORS
def test_a_server_without_a_debug_listener_is_looked_after_at_its_door(
    shop: Shop, door: Callable[[Shop], Shown], runtime: RuntimeName
) -> None:
    words, environment = door(shop)
    shop.configure(debug=False)
    with shop.running(runtime):
        assert shop.run("healthcheck", *words).exit_code == 0
        assert shop.run("warm", "old:1", *words, **environment).exit_code == 0


@RUNTIMES
class TestCertificate:
    """What is shown where the cache wants a certificate, and there is no other listener."""

    @pytest.fixture
    def shown(self, shop: Shop) -> list[str | Path]:
        words, _ = certificate(shop)
        shop.configure(debug=False)
        return words

    @pytest.mark.parametrize("command", [["healthcheck"], ["warm", "old:1"]])
    def test_without_one_it_is_said_what_to_do(
        self, shop: Shop, runtime: RuntimeName, shown: list[str | Path], command: list[str]
    ) -> None:
        with shop.running(runtime):
            done = shop.run(*command)
            assert (done.exit_code, done.stdout) == (2, "")
            assert done.stderr == (
                "distcache: $.http.tls.clientcas: the cache wants a certificate; "
                "give --cert and --key\n"
            )
            assert shop.run(*command, *shown).exit_code == 0

    def test_one_that_may_be_left_out_is(
        self, shop: Shop, runtime: RuntimeName, shown: list[str | Path]
    ) -> None:
        tls = shop.http["tls"]
        assert isinstance(tls, dict)
        tls["clientauth"] = "verify-client-cert-if-given"
        shop.configure(debug=False)
        with shop.running(runtime):
            assert shop.run("healthcheck").exit_code == 0
            assert shop.run("healthcheck", *shown).exit_code == 0

    def test_a_stranger_s_is_refused(
        self, shop: Shop, runtime: RuntimeName, shown: list[str | Path]
    ) -> None:
        stranger = write(shop.directory / "eve.pem", lasting("eve", key("ES256", 3)))
        with shop.running(runtime):
            done = shop.run("healthcheck", "--cert", stranger, "--json")
            assert done.exit_code == 1
            told = json.loads(done.stdout)
            assert (told["well"], told["status"]) == (False, None)
            assert told["reason"]
            assert shop.run("warm", "old:1", "--cert", stranger).exit_code == 1

    def test_the_key_may_be_in_a_file_of_its_own(
        self, shop: Shop, runtime: RuntimeName, shown: list[str | Path]
    ) -> None:
        pem = Path(shown[1]).read_text()
        end = pem.index("-----BEGIN CERTIFICATE")
        cert, its_key = shop.directory / "alice.crt", shop.directory / "alice.key"
        its_key.write_text(pem[:end])
        cert.write_text(pem[end:])
        with shop.running(runtime):
            assert shop.run("healthcheck", "--cert", cert, "--key", its_key).exit_code == 0
        wrong: list[tuple[list[str | Path], str]] = [
            (["--cert", cert], "--cert: no certificate with its key in PEM"),
            (["--key", its_key], "--key: of no use without --cert"),
            (["--cert", cert, "--key", shop.directory / "own.pem"], "is not the key"),
            (["--cert", shop.directory / "none.pem"], "No such file"),
        ]
        for words, message in wrong:
            done = shop.run("healthcheck", *words)
            assert (done.exit_code, done.stdout) == (2, "")
            assert message in done.stderr


@RUNTIMES
def test_health_as_json(shop: Shop, runtime: RuntimeName) -> None:
    url = f"http://{shop.debug}/readyz"
    with shop.running(runtime):
        assert shop.ask("healthcheck") == {"url": url, "well": True, "status": 200, "reason": None}
        (shop.store / ".ready").mkdir()
        done = shop.run("healthcheck", "--json")
    assert (done.exit_code, done.stderr) == (1, "")
    told = json.loads(done.stdout)
    assert (told["well"], told["status"]) == (False, 503)
    assert told["reason"].startswith("503 ")
    gone = json.loads(shop.run("healthcheck", "--json").stdout)
    assert (gone["status"], gone["reason"]) == (None, "[Errno 111] Connection refused")
