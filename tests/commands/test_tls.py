"""A cache that speaks TLS, as its own commands find it."""

import json
from pathlib import Path

import pytest

from tests.commands.shop import Shop
from tests.docs import files


@pytest.fixture
def secure(shop: Shop, tmp_path: Path) -> Shop:
    """Its certificate is its own, and names another host."""
    files.make(tmp_path / "etc")
    names = {"certificate": "cert.pem", "key": "key.pem"}
    shop.http["tls"] = {part: str(tmp_path / "etc" / name) for part, name in names.items()}
    shop.configure(debug=False)
    return shop


def test_healthcheck_and_warm_trust_the_configuration_s_certificate(secure: Shop) -> None:
    with secure.running():
        done = secure.run("healthcheck")
        assert (done.exit_code, done.output) == (0, "")
        assert secure.ask("warm", "old:1")["images"][0]["blobs"] == 3


def test_another_certificate_is_not_trusted(secure: Shop, tmp_path: Path) -> None:
    with secure.running():
        files.make(tmp_path / "other")
        for name in ("cert.pem", "key.pem"):
            (tmp_path / "other" / name).replace(tmp_path / "etc" / name)
        done = secure.run("healthcheck")
        assert done.exit_code == 1
        assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
        assert secure.run("warm", "old:1").exit_code == 1


def test_an_address_that_is_given_is_trusted_as_any_other(secure: Shop) -> None:
    with secure.running():
        done = secure.run("healthcheck", "--url", f"https://127.0.0.1:{secure.port}")
    assert done.exit_code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr


def test_clients_are_given_https(secure: Shop) -> None:
    (file,) = secure.ask("client-config", "docker")["files"]
    assert json.loads(file["text"]) == {"registry-mirrors": [f"https://127.0.0.1:{secure.port}"]}
