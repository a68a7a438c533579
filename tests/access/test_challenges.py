import pytest

from distcache.access.challenges import INSUFFICIENT_SCOPE, basic, bearer, names, scope
from distcache.core.oci import Repository
from distcache.core.pull import Catalog
from distcache.wire.challenge import challenges
from distcache.wire.sites import UpstreamSite
from distcache.wire.urls import Url

ALPINE = Repository("docker.io", "library/alpine")
APP = Repository("ghcr.io", "owner/app")


def test_the_registrys_own_text() -> None:
    # The second is docker-registry's answer to `ctr`, word for word.
    assert basic("basic-realm") == 'Basic realm="basic-realm"'
    assert bearer(
        "http://127.0.0.1:5104/token", "test-registry", "repository:library/small:pull"
    ) == (
        'Bearer realm="http://127.0.0.1:5104/token",service="test-registry",'
        'scope="repository:library/small:pull"'
    )
    assert bearer("r", "s", "x:y:z", INSUFFICIENT_SCOPE).endswith(',error="insufficient_scope"')
    assert bearer("r") == 'Bearer realm="r"'


@pytest.mark.parametrize("realm", ['with "quotes"', "back\\slash", '\\"', "a, b=c"])
def test_our_own_reader_of_challenges_reads_them(realm: str) -> None:
    site = UpstreamSite("up", Url("http", "up", 80))
    (found,) = challenges(site, [(b"WWW-Authenticate", basic(realm).encode())])
    assert found.realm == realm


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, ""),
        (Catalog(), "registry:catalog:*"),
        (ALPINE, "repository:library/alpine:pull"),
        (APP, "repository:ghcr.io/owner/app:pull"),
    ],
)
def test_scopes(asked: Repository | Catalog | None, expected: str) -> None:
    assert scope(asked, "docker.io") == expected


def test_only_the_default_upstreams_repositories_go_without_its_key() -> None:
    assert names(ALPINE, "docker.io") == ("library/alpine", "docker.io/library/alpine")
    assert names(ALPINE, "ghcr.io") == ("docker.io/library/alpine",)
