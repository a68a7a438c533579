"""Who may see what: several registries at once, each with a login of its own, and clients that
log in here, or through here at the upstream."""

from pathlib import Path

import pytest

from tests.interop.catalog import Catalog
from tests.interop.clients import Client, ClientError, Ctr, Docker, Podman, Skopeo
from tests.interop.conftest import Caches, Upstreams
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
