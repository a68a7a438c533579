"""Who may see what: several registries at once, each with a login of its own, and clients that
log in here, or through here at the upstream."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.interop.catalog import Catalog
from tests.interop.clients import Client, ClientError, Ctr, Docker, Podman, Skopeo
from tests.interop.conftest import Caches, Registries, Upstreams
from tests.interop.test_clients import every_client
from tests.interop.tokens import ISSUER, SERVICE, token_service
from tests.interop.upstream import PASSWORD, USER, Mode, Upstream, write_htpasswd
from tests.support.cache import CacheServer
from tests.support.raw import ask

REPOSITORY = "library/oci"
LOGIN = f"{USER}:{PASSWORD}"
MODES = {
    "docker.io": Mode.PLAIN,
    "passwords.example": Mode.HTPASSWD,
    "tokens.example": Mode.TOKEN,
}


@pytest.fixture
def three(upstreams: Upstreams, caches: Caches) -> tuple[CacheServer, dict[str, Upstream]]:
    found = {host: upstreams(mode) for host, mode in MODES.items()}
    cache = caches({"upstreams": {host: one.proxy for host, one in found.items()}})
    return cache, found


def test_three_registries_at_once_each_with_its_own_login(
    three: tuple[CacheServer, dict[str, Upstream]],
    catalog: Catalog,
    skopeo: Skopeo,
    podman: Podman,
    ctr: Ctr,
    docker: Docker,
) -> None:
    cache, upstreams = three
    manifest = catalog.images[REPOSITORY]
    docker.forget()
    assert docker.pull(cache, REPOSITORY) == docker.expected(manifest)
    for host in MODES:
        path = REPOSITORY if host == "docker.io" else f"{host}/{REPOSITORY}"
        skopeo.forget()
        assert skopeo.pull(cache, path) == skopeo.expected(manifest)
        for client in (podman, ctr):
            client.forget()
            assert client.pull_mirrored(cache, host, REPOSITORY) == client.expected(manifest)
    for host, upstream in upstreams.items():
        # Content is stored once, but each registry has confirmed it for itself.
        assert upstream.wiretap.seen(), host
        assert sum(upstream.wiretap.blob_gets().values()) in (0, len(manifest.blobs))
    schemes = {
        host: {one.headers.get("authorization", "").partition(" ")[0] for one in up.wiretap.seen()}
        for host, up in upstreams.items()
    }
    assert schemes["docker.io"] == {""}
    assert schemes["passwords.example"] == {"", "Basic"}
    assert schemes["tokens.example"] == {"", "Bearer"}


def test_a_private_registry_beside_public_ones_is_for_its_own_users(
    catalog: Catalog, ctr: Ctr, skopeo: Skopeo, upstreams: Upstreams, caches: Caches
) -> None:
    """Its content is held, and the same bytes are others' to have under other names."""
    found = {host: upstreams(mode).proxy for host, mode in MODES.items()}
    remote = found["tokens.example"]["remoteurl"]
    found["tokens.example"] = {"remoteurl": remote, "passthrough": True}
    cache = caches({"upstreams": found})
    manifest = catalog.images[REPOSITORY]
    ctr.forget()
    pulled = ctr.pull_mirrored(cache, "tokens.example", REPOSITORY, LOGIN)
    assert pulled == ctr.expected(manifest)
    for host in ("docker.io", "passwords.example"):
        skopeo.forget()
        path = REPOSITORY if host == "docker.io" else f"{host}/{REPOSITORY}"
        assert skopeo.pull(cache, path) == skopeo.expected(manifest)
    ctr.forget()
    for login in (None, f"{USER}:wrong"):
        with pytest.raises(ClientError):
            ctr.pull_mirrored(cache, "tokens.example", REPOSITORY, login)
    digests = [f"blobs/{blob.digest}" for blob in manifest.blobs]
    for resource in (*digests, "manifests/latest", f"manifests/{manifest.digest}", "tags/list"):
        path = f"/v2/{REPOSITORY}/{resource}"
        assert ask(cache.port, f"{path}?ns=docker.io").status == 200
        refusal = ask(cache.port, f"{path}?ns=tokens.example")
        assert refusal.status == 401
        assert refusal.headers["www-authenticate"].startswith("Bearer realm=")


def test_what_one_registry_has_is_not_there_under_anothers_name(
    three: tuple[CacheServer, dict[str, Upstream]], catalog: Catalog, skopeo: Skopeo
) -> None:
    cache, upstreams = three
    skopeo.forget()
    skopeo.pull(cache, f"passwords.example/{REPOSITORY}")
    upstreams["docker.io"].wiretap.stop()
    blob = catalog.images[REPOSITORY].blobs[0].digest
    assert ask(cache.port, f"/v2/{REPOSITORY}/blobs/{blob}").status == 502
    assert ask(cache.port, f"/v2/passwords.example/{REPOSITORY}/blobs/{blob}").status == 200


def refused(client: Client, cache: CacheServer, login: str | None) -> None:
    client.forget()
    with pytest.raises(ClientError):
        client.pull_as(cache, REPOSITORY, login)


@every_client
def test_clients_log_in_here_with_a_password(
    client: Client, catalog: Catalog, upstreams: Upstreams, caches: Caches, tmp_path: Path
) -> None:
    users = {"realm": "distcache", "path": str(write_htpasswd(tmp_path))}
    upstream = upstreams(Mode.TOKEN)
    cache = caches(upstream.proxy, auth={"htpasswd": users})
    refused(client, cache, None)
    refused(client, cache, f"{USER}:wrong")
    assert upstream.wiretap.seen() == []
    manifest = catalog.images[REPOSITORY]
    assert client.pull_as(cache, REPOSITORY, LOGIN) == client.expected(manifest)
    refused(client, cache, None)
    assert PASSWORD not in cache.server.text()


@every_client
def test_clients_log_in_here_with_a_token(
    client: Client, catalog: Catalog, upstreams: Upstreams, caches: Caches, tmp_path: Path
) -> None:
    with token_service(tmp_path, LOGIN) as tokens:
        names = {"realm": tokens.realm, "service": SERVICE, "issuer": ISSUER}
        auth = {"token": {**names, "rootcertbundle": str(tokens.certificate)}}
        upstream = upstreams(Mode.PLAIN)
        cache = caches(upstream.proxy, auth=auth)
        refused(client, cache, None)
        refused(client, cache, f"{USER}:wrong")
        assert upstream.wiretap.seen() == []
        manifest = catalog.images[REPOSITORY]
        assert client.pull_as(cache, REPOSITORY, LOGIN) == client.expected(manifest)


@every_client
def test_clients_log_in_at_upstream_through_here(
    client: Client, catalog: Catalog, upstreams: Upstreams, caches: Caches
) -> None:
    upstream = upstreams(Mode.TOKEN)
    remote = {"remoteurl": upstream.wiretap.url, "passthrough": True}
    cache = caches({"upstreams": {"docker.io": remote}})
    manifest = catalog.images[REPOSITORY]
    refused(client, cache, None)
    assert client.pull_as(cache, REPOSITORY, LOGIN) == client.expected(manifest)
    fetched = upstream.wiretap.blob_gets()
    assert set(fetched.values()) == {1}
    client.forget()
    assert client.pull_as(cache, REPOSITORY, LOGIN) == client.expected(manifest)
    assert upstream.wiretap.blob_gets() == fetched
    refused(client, cache, f"{USER}:wrong")
    refused(client, cache, None)
    challenge = ask(cache.port, "/v2/").headers["www-authenticate"]
    assert upstream.registry.tokens is not None
    assert challenge.startswith(f'Bearer realm="{upstream.registry.tokens.realm}"')


@pytest.mark.parametrize("client", ["skopeo", "podman", "ctr"], indirect=True)
def test_clients_come_by_a_path_and_log_in_at_upstream(
    client: Client, catalog: Catalog, upstreams: Upstreams, caches: Caches
) -> None:
    """Their own idea of the scope names the whole path, which upstream does not know."""
    upstream = upstreams(Mode.TOKEN)
    remote = {"remoteurl": upstream.wiretap.url, "passthrough": True}
    cache = caches({"upstreams": {"tokens.example": remote}})
    manifest = catalog.images[REPOSITORY]
    path = f"tokens.example/{REPOSITORY}"
    assert client.pull_as(cache, path, LOGIN) == client.expected(manifest)


def test_an_identity_token_that_docker_login_left(
    catalog: Catalog,
    docker: Docker,
    skopeo: Skopeo,
    registries: Registries,
    caches: Caches,
    tmp_path: Path,
) -> None:
    """Docker keeps what the token service gave it, not the password, which the cache never sees."""
    registry = registries(Mode.TOKEN_OFFLINE)
    tokens = registry.tokens
    assert tokens is not None
    host = f"127.0.0.1:{registry.port}"
    config = docker.log_in(host, LOGIN, tmp_path / "docker")
    (entry,) = json.loads(config.read_text())["auths"].values()
    tokens.forms.clear()
    cache = caches({"remoteurl": f"http://{host}", "docker_config": str(config)})
    manifest = catalog.images[REPOSITORY]
    skopeo.forget()
    assert skopeo.pull(cache, REPOSITORY) == skopeo.expected(manifest)
    assert tokens.forms == [
        {
            "grant_type": "refresh_token",
            "client_id": "distcache",
            "service": SERVICE,
            "scope": f"repository:{REPOSITORY}:pull",
            "refresh_token": entry["identitytoken"],
        }
    ]
    assert entry["identitytoken"] not in cache.server.text()


def test_an_identity_token_that_was_revoked_is_mended_by_the_next_login(
    catalog: Catalog,
    docker: Docker,
    skopeo: Skopeo,
    registries: Registries,
    caches: Caches,
    tmp_path: Path,
) -> None:
    registry = registries(Mode.TOKEN_OFFLINE)
    assert registry.tokens is not None
    host = f"127.0.0.1:{registry.port}"
    config = docker.log_in(host, LOGIN, tmp_path / "docker")
    registry.tokens.revoke()
    cache = caches({"remoteurl": f"http://{host}", "docker_config": str(config)})
    skopeo.forget()
    with pytest.raises(ClientError):
        skopeo.pull(cache, REPOSITORY)
    docker.log_in(host, LOGIN, tmp_path / "docker")
    path = f"/v2/{REPOSITORY}/manifests/latest"
    # A file is looked at once a second.
    assert 200 in (ask(cache.port, path).status for _ in range(20_000))
    manifest = catalog.images[REPOSITORY]
    assert skopeo.pull(cache, REPOSITORY) == skopeo.expected(manifest)


def test_docker_comes_by_a_virtual_host_and_logs_in_at_upstream(
    catalog: Catalog, docker: Docker, upstreams: Upstreams, caches: Caches
) -> None:
    upstream = upstreams(Mode.TOKEN_OFFLINE)
    tokens = upstream.registry.tokens
    assert tokens is not None
    remote = {"remoteurl": upstream.wiretap.url, "passthrough": True, "hosts": ["localhost"]}
    cache = caches({"upstreams": {"tokens.example": remote, "docker.io": {}}})
    address = f"localhost:{cache.port}"
    manifest = catalog.images[REPOSITORY]
    docker.forget()
    for login in (None, f"{USER}:wrong"):
        with pytest.raises(ClientError):
            docker.pull_by(address, REPOSITORY, login)
    tokens.forms.clear()
    assert docker.pull_by(address, REPOSITORY, LOGIN) == docker.expected(manifest)
    asked = {(form["grant_type"], form.get("scope")) for form in tokens.forms}
    assert asked == {("refresh_token", f"repository:{REPOSITORY}:pull")}


def test_docker_by_a_path_asks_upstreams_token_service_for_the_whole_path(
    docker: Docker, upstreams: Upstreams, caches: Caches
) -> None:
    """The challenge that it is given for the image names the right scope; docker looks at that of
    `/v2/` alone, and makes a scope of its own."""
    upstream = upstreams(Mode.TOKEN)
    tokens = upstream.registry.tokens
    assert tokens is not None
    remote = {"remoteurl": upstream.wiretap.url, "passthrough": True}
    cache = caches({"upstreams": {"tokens.example": remote}})
    path = f"tokens.example/{REPOSITORY}"
    challenge = ask(cache.port, f"/v2/{path}/manifests/latest").headers["www-authenticate"]
    assert challenge.endswith(f',scope="repository:{REPOSITORY}:pull"')
    tokens.requests.clear()
    docker.forget()
    with pytest.raises(ClientError, match="denied"):
        docker.pull_as(cache, path, LOGIN)
    queries = [parse_qs(urlsplit(target).query) for target in tokens.requests]
    assert [query.get("scope") for query in queries] == [None, [f"repository:{path}:pull"]]
    assert {query["service"][0] for query in queries} == {SERVICE}
    assert {one.status for one in upstream.wiretap.seen()} == {401}
