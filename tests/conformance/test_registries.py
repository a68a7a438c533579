"""Registries that are right and unlike others: nothing is held against them."""

import socket
import ssl
import subprocess
from io import BufferedReader
from pathlib import Path

import pytest
from attrs import define, evolve

from distcache.conformance.checks import Level, Result, Target, Verdict
from distcache.conformance.client import Client
from distcache.conformance.connection import Address, Connection
from distcache.conformance.digests import absent
from distcache.conformance.login import Credentials
from distcache.conformance.messages import Broken, Ended, Request
from distcache.conformance.origin.library import Library
from distcache.conformance.origin.registry import Asked, Reply, error
from distcache.conformance.origin.server import BadRequest, Framing, Origin
from distcache.conformance.runner import Options, Report, Unreachable, aimed, run
from tests.conformance.caches import ToyCache
from tests.conformance.targets import CHECKS, stocked, target_at, verdicts
from tests.conformance.toys import Saying, Toy, becomes, blob, deaf_to, good, manifest, without
from tests.interop.tools import need


class Closing(Toy):
    """One request for each connection, and says so."""

    def encode(self, asked: Asked, reply: Reply, framing: Framing) -> bytes:
        return super().encode(asked, reply, evolve(framing, close=True))


@define(eq=False)
class Secure(Toy):
    """Speaks TLS."""

    certificate: Path = Path()

    def _connection(self, client: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.certificate.with_name("key.pem"))
        try:
            wrapped = context.wrap_socket(client, server_side=True)
        except OSError:
            client.close()
            return
        super()._connection(wrapped)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    need("openssl")
    path = tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=test", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-keyout", str(path.with_name("key.pem"))]
    subprocess.run([*command, "-out", str(path)], check=True, capture_output=True)
    return path


class Abrupt(Toy):
    """Ends the connection of whoever sends no request."""

    def read(self, reader: BufferedReader) -> tuple[Asked, Framing]:
        try:
            return super().read(reader)
        except BadRequest:
            raise ValueError("not a request") from None


class Locked(ToyCache):
    """Wants a login."""

    def respond(self, asked: Asked) -> Reply:
        if asked.get("authorization") is None:
            return Reply(401, (("WWW-Authenticate", 'Basic realm="x"'),))
        return super().respond(asked)


def every_check(target: Target) -> list[Result]:
    target.examples = 8
    return verdicts(target, list(CHECKS))


def found(results: list[Result], verdict: Verdict) -> dict[str, str]:
    return {one.check.id: one.message for one in results if one.verdict is verdict}


def checked(url: str) -> Report:
    return run(Options(url, examples=8), CHECKS.values(), lambda _: None)


def test_an_empty_registry_has_nothing_to_fail_with() -> None:
    library = Library("empty")
    with Toy("127.0.0.1", 0, library) as toy:
        results = every_check(target_at(toy.port, library))
    assert found(results, Verdict.FAIL) == {}
    assert {"manifest-by-tag", "blob-get", "any-sequence"} <= found(results, Verdict.SKIP).keys()


def test_blobs_may_lie_on_another_host() -> None:
    library = stocked("elsewhere")
    with Toy("127.0.0.1", 0, library) as store:

        def elsewhere(asked: Asked, reply: Reply) -> Reply:
            if not blob(asked) or reply.status != 200 or asked.get("if-none-match"):
                return reply
            place = f"http://127.0.0.1:{store.port}{asked.target}"
            digest = reply.get("Docker-Content-Digest") or ""
            return Reply(307, (("Location", place), ("Docker-Content-Digest", digest)))

        with Toy("127.0.0.1", 0, library, elsewhere, hear=deaf_to("range")) as toy:
            results = every_check(target_at(toy.port, library))
    assert found(results, Verdict.FAIL) == {}
    assert "another host" in found(results, Verdict.SKIP)["any-sequence"]
    assert all(asked.get("authorization") is None for asked in store.asked())


def test_a_registry_may_close_each_connection() -> None:
    library = stocked("closing")
    with Closing("127.0.0.1", 0, library) as toy:
        results = every_check(target_at(toy.port, library))
    assert found(results, Verdict.FAIL) == {
        "http-keep-alive": "the connection is closed",
    }
    assert "not kept" in found(results, Verdict.SKIP)["http-pipelining"]


def test_a_registry_may_cut_off_what_it_does_not_understand() -> None:
    library = stocked("abrupt")
    with Abrupt("127.0.0.1", 0, library) as toy:
        results = every_check(target_at(toy.port, library))
    # RFC 9112 §3.2 wants an answer to this one.
    assert set(found(results, Verdict.FAIL)) == {"http-host"}


def test_a_registry_may_deny_what_does_not_exist() -> None:
    library = stocked("private")

    def deny(asked: Asked, reply: Reply) -> Reply:
        absent = reply.status == 404 and "NAME_UNKNOWN" in reply.body.decode()
        return becomes(403, "DENIED")(reply) if absent else reply

    with Toy("127.0.0.1", 0, library, deny) as toy:
        results = every_check(target_at(toy.port, library))
    assert found(results, Verdict.FAIL) == {}


def test_what_a_registry_may_also_do() -> None:
    library = stocked("also")

    def unlike(asked: Asked, reply: Reply) -> Reply:
        """Refuses several ranges when all are behind the end, and has links to elsewhere."""
        starts = [one.partition("-")[0] for one in (asked.get("range") or "").split(",")]
        numbers = [int(one.rpartition("=")[2].strip() or 0) for one in starts if one]
        if len(starts) > 1 and min(numbers) >= len(reply.body) > 0 and len(numbers) > 1:
            return error(416, "SIZE_INVALID", ("Content-Range", f"bytes */{len(reply.body)}"))
        return evolve(reply, fields=(*reply.fields, ("Link", '<x>; rel="describedby"')))

    with Saying("127.0.0.1", 0, library, unlike, hear=deaf_to("range", "=-[0-9]{4}")) as toy:
        ids = ["http-get-framing", "tags-list", "tags-pages", "range-suffix", "any-ranges"]
        target = target_at(toy.port, library)
        target.examples = 100
        results = verdicts(target, ids)
    assert any(answer.status == 416 for answer in target.client.journal)
    assert found(results, Verdict.PASS).keys() == set(ids)


def test_sequences_reach_behind_the_end_of_small_blobs() -> None:
    library = stocked("small")
    with Toy("127.0.0.1", 0, library) as toy:
        url = f"http://127.0.0.1:{toy.port}"
        with aimed(Options(url, repository=library.name("docker"), tag="one")) as target:
            (result,) = verdicts(target, ["any-sequence"])
    assert result.verdict is Verdict.PASS, result
    assert any(answer.status == 416 for answer in target.client.journal)


def test_a_cache_may_want_a_login() -> None:
    library = stocked("locked")
    with (
        Origin("127.0.0.1", 0, library) as origin,
        Locked("127.0.0.1", 0, library, origin.port) as cache,
    ):
        target = target_at(cache.port, library)
        target.client = Client(target.client.address, Credentials("a", "b"))
        target.origin = origin
        first, second = verdicts(target, ["cache-pull", "cache-secrets"])
    assert first.verdict is Verdict.PASS, first
    assert "login" in second.message


def test_the_scripted_upstream_keeps_in_step() -> None:
    library = stocked("step")
    name = library.name("fallback")
    chunks = (("Transfer-Encoding", "chunked"),)
    with Toy("127.0.0.1", 0, library) as toy:
        address = Address("127.0.0.1", toy.port, tls=False)
        for fields, body in (((("Content-Length", "9999999"),), b""), (chunks, b"fffffff\r\n")):
            with Connection(address, 10) as connection, pytest.raises(Ended):
                connection.ask(Request("GET", "/v2/", fields, body))
        with Connection(address, 10) as connection:
            trailer = b"1\r\nx\r\n0\r\nA: b\r\n\r\n"
            assert connection.ask(Request("GET", "/v2/", chunks, trailer)).status == 200
            assert connection.ask(Request("GET", f"/v2/{name}/tags/other")).status == 404
            digest = library.shelf(name).tags["latest"]
            answer = connection.ask(Request("GET", f"/v2/{name}/referrers/{digest}"))
            assert (answer.status, answer.media_type) == (404, "text/plain")
        toy.stop()


def test_a_registry_may_have_no_ranges_tags_or_catalog() -> None:
    library = stocked("bare")

    def bare(asked: Asked, reply: Reply) -> Reply:
        if asked.path.endswith(("_catalog", "/tags/list")):
            return becomes(404, "NAME_UNKNOWN")(reply)
        return without("accept-ranges")(without("etag")(reply))

    with Toy("127.0.0.1", 0, library, bare) as toy:
        toy.hear = lambda asked: deaf_to("range")(deaf_to("if-none-match")(asked))
        target = target_at(toy.port, library)
        target.content.tags.clear()
        results = every_check(target)
    failed = [one for one in results if one.verdict is Verdict.FAIL]
    assert [one.check.id for one in failed if one.check.level is Level.MUST] == []
    skipped = found(results, Verdict.SKIP)
    assert {"if-none-match", "any-page", "catalog", "range-accepted", "range-if-same"} <= set(
        skipped
    )


def test_tls_is_spoken(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = stocked("tls")
    with Secure("127.0.0.1", 0, library, certificate=certificate) as toy:
        url = f"https://127.0.0.1:{toy.port}"
        with pytest.raises(Unreachable, match="certificate"):
            checked(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        report = checked(url)
    assert found(list(report.results), Verdict.FAIL) == {}
    assert "speaks TLS" in found(list(report.results), Verdict.SKIP)["http-tls-hello"]


def test_content_is_found_where_it_can_be() -> None:
    """Broken manifests, other digests and sparse indexes are passed over, not stumbled over."""
    library = stocked("odd")
    name = library.name("odd")
    missing = {"digest": f"sha256:{'1' * 64}", "size": 3, "mediaType": "x"}
    elsewhere = {"digest": f"sha256:{'2' * 64}", "size": 3, "urls": ["http://else/"]}
    library.add_manifest(name, "a/b", {"manifests": [missing, {"digest": "md5:1"}]}, "sparse")
    library.add_manifest(name, "a/b", {"layers": [elsewhere, missing | {"size": "3"}]}, "away")
    repeated = library.name("repeated")
    child = library.add_image(repeated, None, b"once")
    library.add_manifest(repeated, "a/b", {"manifests": [child, child]}, "twice")
    with Toy("127.0.0.1", 0, library, good(manifest, without("docker-content-digest"))) as toy:
        url = f"http://127.0.0.1:{toy.port}"
        with aimed(Options(url, repository=name)) as target:
            tags = [one.tag for one in target.content.manifests]
            assert (sorted(map(str, tags)), target.content.blobs) == (["away", "sparse"], [])
            sparse, away = verdicts(target, ["manifest-children", "blob-layers"])
            assert sparse.message == "no child of any index can be pulled"
            assert away.verdict is Verdict.FAIL
        with aimed(Options(url, repository=repeated)) as target:
            assert len(target.content.manifests) == 2
        with aimed(Options(url, repository=name, digest=absent())) as target:
            assert (target.content.manifests, target.content.blobs) == ([], [])
        with aimed(Options(url, repository="no-such")) as target:
            assert target.content.manifests == []


def test_what_cannot_be_read_is_not_found() -> None:
    library = stocked("garbled")
    with Toy("127.0.0.1", 0, library) as toy:
        toy.mangle = lambda asked, data: b"?\r\n\r\n" if "tags" in asked.target else data
        with aimed(Options(f"http://127.0.0.1:{toy.port}", repository="a")) as target:
            assert target.content.tags == {}


@pytest.mark.parametrize(
    ("challenge", "body"),
    [
        ("Negotiate", b""),
        ('Bearer realm="nowhere"', b""),
        ('Bearer realm="{url}/token"', b'{"expires_in": 1}'),
    ],
)
def test_a_login_that_cannot_be_is_a_401(challenge: str, body: bytes) -> None:
    library = stocked("login")

    def ask(asked: Asked, reply: Reply) -> Reply:
        if asked.path == "/token":
            return Reply(200, (), body)
        said = challenge.format(url=f"http://127.0.0.1:{toy.port}")
        return Reply(401, (("WWW-Authenticate", said),))

    with (
        Toy("127.0.0.1", 0, library, ask) as toy,
        Client(Address("127.0.0.1", toy.port, tls=False)) as client,
    ):
        assert client.get("/v2/").status == 401


def test_a_token_service_that_talks_nonsense_is_told() -> None:
    def ask(asked: Asked, reply: Reply) -> Reply:
        said = f'Bearer realm="http://127.0.0.1:{toy.port}/token?a=b",service="x"'
        broken = Reply(200, (), b"[]")
        return broken if asked.path == "/token" else Reply(401, (("WWW-Authenticate", said),))

    with (
        Toy("127.0.0.1", 0, stocked("login"), ask) as toy,
        Client(Address("127.0.0.1", toy.port, tls=False)) as client,
        pytest.raises(Broken, match="no JSON object"),
    ):
        client.get("/v2/")
    assert [one.target for one in toy.asked("/token")] == ["/token?a=b&service=x"]


def test_a_target_that_goes_away_fails_what_comes_after() -> None:
    library = stocked("gone")
    with Toy("127.0.0.1", 0, library) as toy:
        target = target_at(toy.port, library)
    results = verdicts(target, ["base-ping", "blob-get"])
    assert set(found(results, Verdict.FAIL)) == {"base-ping", "blob-get"}


def test_an_upstream_without_lists_is_not_compared() -> None:
    library = stocked("lists")
    with (
        Toy("127.0.0.1", 0, library) as toy,
        Toy("127.0.0.1", 0, library, no_lists) as upstream,
        Client(Address("127.0.0.1", upstream.port, tls=False)) as client,
    ):
        target = target_at(toy.port, library)
        target.upstream = client
        target.push = True
        results = verdicts(target, ["upstream-tags", "upstream-moved"])
        target.content.manifests[1:] = []
        alone, without_absent = verdicts(target, ["upstream-moved", "upstream-absent"])
    assert without_absent.verdict is Verdict.PASS
    assert alone.message == "no repository with two manifests was found"
    skipped = found(results, Verdict.SKIP)
    assert set(skipped) == {"upstream-tags", "upstream-moved"}
    assert "takes no tag" in skipped["upstream-moved"]


def no_lists(asked: Asked, reply: Reply) -> Reply:
    """Denies what it does not have, too."""
    denied = becomes(403)(reply) if reply.status == 404 else reply
    return becomes(403)(reply) if "/tags/list" in asked.target else denied
