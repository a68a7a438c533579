"""`REGISTRY_*` variables reach every key that the registry's own do."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from distcache.settings import Settings, SettingsError, load

FILE = """
version: 0.1
log: {fields: {service: registry}}
storage: {filesystem: {rootdirectory: /srv/cache}}
proxy:
  remoteurl: https://ghcr.io
  upstreams:
    ghcr.io: {hosts: [one.local]}
    host-1:5000: {remoteurl: http://host-1:5000}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(FILE)
    return path


def errors(path: Path | None, environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path, environ)
    return str(caught.value).splitlines()


def warned(settings: Settings) -> list[str]:
    return [warning.path for warning in settings.warnings]


def test_a_storage_driver_is_chosen_by_its_bare_name() -> None:
    environ = {"REGISTRY_STORAGE": "filesystem", "HOME": "/h"}
    assert load(None, environ).root == Path("/var/lib/registry")
    environ["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"] = "/data"
    assert load(None, environ).root == Path("/data")


def test_another_storage_driver_is_refused_wherever_it_is_named(config: Path) -> None:
    (error,) = errors(config, {"REGISTRY_STORAGE_S3_BUCKET": "b"})
    assert error.endswith(" @ $.storage.s3")


def test_a_login_asked_for_by_a_variable_is_never_passed_over(config: Path) -> None:
    environ = {"REGISTRY_AUTH": "htpasswd", "REGISTRY_AUTH_HTPASSWD_REALM": "r"}
    (error,) = errors(config, environ)
    assert error == "must be given @ $.auth.htpasswd.path"
    for alone in ("htpasswd", "silly", "{htpasswd: }", "{token: {}}", "{silly: {}}", "x"):
        assert errors(config, {"REGISTRY_AUTH": alone})


def test_a_certificate_given_by_a_variable_counts_but_an_empty_one_is_none(config: Path) -> None:
    (error,) = errors(config, {"REGISTRY_HTTP_TLS_CERTIFICATE": "/cert.pem"})
    assert error == "give the key of http.tls.certificate @ $.http.tls.key"
    assert load(config, {"REGISTRY_HTTP_TLS_CERTIFICATE": ""}).warnings == ()


def test_numbers_are_places_in_a_list(config: Path) -> None:
    environ = {
        "REGISTRY_PROXY_UPSTREAMS_GHCR_IO_HOSTS_0": "first.local",
        "REGISTRY_PROXY_UPSTREAMS_GHCR_IO_HOSTS_1": "second.local",
    }
    hosts = load(config, environ).sites["ghcr.io"].hosts
    assert hosts == ("first.local", "second.local")
    (error,) = errors(config, {"REGISTRY_PROXY_UPSTREAMS_GHCR_IO_HOSTS_7": "x.local"})
    assert error.startswith("a place beyond the end of the list")


def test_a_key_with_dots_dashes_and_a_port_is_reached_by_underscores(config: Path) -> None:
    environ = {"REGISTRY_PROXY_UPSTREAMS_HOST_1_5000_TAG_TTL": "1h"}
    assert load(config, environ).core.upstreams["host-1:5000"].tag_ttl == 3600


def test_a_variable_can_add_an_upstream_by_its_spelled_out_name(config: Path) -> None:
    environ = {"REGISTRY_PROXY_UPSTREAMS_QUAY.IO_TAG_TTL": "1h"}
    settings = load(config, environ)
    assert settings.core.upstreams["quay.io"].tag_ttl == 3600
    assert settings.sites["quay.io"].url.host == "quay.io"


def test_the_whole_list_of_upstreams_closes_hub_out() -> None:
    environ = {"HOME": "/h", "REGISTRY_PROXY_UPSTREAMS": "{ghcr.io: {}, quay.io: {}}"}
    assert set(load(None, environ).sites) == {"ghcr.io", "quay.io"}


def test_credentials_alone_are_for_hub() -> None:
    environ = {"HOME": "/h", "REGISTRY_PROXY_USERNAME": "u", "REGISTRY_PROXY_PASSWORD": "p"}
    assert set(load(None, environ).credentials) == {"docker.io"}


def test_a_section_without_meaning_is_one_warning_however_many_variables_set_it(
    config: Path,
) -> None:
    environ = {
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME": "n",
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL": "http://x",
        "REGISTRY_HEALTH_STORAGEDRIVER_ENABLED": "false",
        "REGISTRY_HTTP_HEADERS_X-FRAME-OPTIONS": "[DENY]",
    }
    assert sorted(warned(load(config, environ))) == [
        "$.health",
        "$.http.headers",
        "$.notifications",
    ]


def test_log_fields_take_any_name(config: Path) -> None:
    environ = {"REGISTRY_LOG_FIELDS_ENVIRONMENT": "staging"}
    expected = {"service": "registry", "environment": "staging"}
    assert load(config, environ).log.fields == expected


def test_a_wrong_value_names_its_variable(config: Path) -> None:
    (error,) = errors(config, {"REGISTRY_PROXY_TTL": "7d"})
    assert "(REGISTRY_PROXY_TTL)" in error
    assert error.endswith(" @ $.proxy.ttl")


def test_a_variable_that_is_no_yaml_is_told_without_its_value(config: Path) -> None:
    (error,) = errors(config, {"REGISTRY_PROXY_PASSWORD": "[secret"})
    assert "REGISTRY_PROXY_PASSWORD" in error
    assert "secret" not in error


def test_an_empty_variable_takes_a_key_back(config: Path) -> None:
    settings = load(config, {"REGISTRY_PROXY_REMOTEURL": "", "REGISTRY_HTTP_ADDR": ""})
    assert settings.default == "ghcr.io", "the first of the list"
    assert settings.port == 5000


@pytest.mark.parametrize(
    "name",
    [
        "REGISTRY_",
        "REGISTRY__",
        "REGISTRY_PROXY_",
        "REGISTRY_HTTP_ADDR_",
        "REGISTRY_0",
        "REGISTRY_PORT",
    ],
)
def test_what_names_no_key_is_one_warning(config: Path, name: str) -> None:
    assert warned(load(config, {name: "tcp://10.0.0.1:5000"})) == [f"${name}"]
