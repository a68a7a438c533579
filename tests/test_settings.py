"""`settings.load`: what configurations mean, and everything that may be wrong with one."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import astuple
from hypothesis import given
from hypothesis import strategies as st

from distcache.configuration.schema import SCHEMA, Kind, Node
from distcache.settings import Formatter, Level, Settings, SettingsError, load, load_text
from distcache.wire.urls import Url

MIRROR = """
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"""
HUB = "proxy: {remoteurl: https://registry-1.docker.io}\n"
PLAIN = "version: 0.1\nstorage: {filesystem: {rootdirectory: /srv/cache}}\n"
DOCUMENTATION = Path(__file__).parent.parent / "docs" / "configuration.md"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yml"


def read(path: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    path.write_text(text)
    return load(path, environ or {})


def wrong(path: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(path, text, environ)
    return str(caught.value).splitlines()


def test_the_registrys_own_example_with_a_proxy_section_is_taken(config: Path) -> None:
    settings = read(config, MIRROR + HUB)
    assert (settings.host, settings.port) == (None, 5000)
    assert settings.root == Path("/var/lib/registry")
    assert settings.default == "docker.io"
    assert settings.sites["docker.io"].url == Url("https", "registry-1.docker.io", 443)
    assert settings.log.fields == {"service": "registry"}
    ignored = [warning.path for warning in settings.warnings]
    assert ignored == ["$.storage.cache", "$.http.headers", "$.health"]


def test_a_registry_3_mirror_with_credentials_and_ttl_is_taken(config: Path) -> None:
    settings = read(
        config,
        """
version: 0.1
log: {level: debug, formatter: json, accesslog: {disabled: true}}
storage:
  delete: {enabled: true}
  filesystem: {rootdirectory: /data, maxthreads: 100}
  tag: {concurrencylimit: 8}
  maintenance: {uploadpurging: {enabled: false}, readonly: {enabled: false}}
http: {addr: "localhost:5000", secret: asecret, draintimeout: 60s, http2: {disabled: false}}
proxy:
  remoteurl: https://registry-1.docker.io
  username: someone
  password: 0123
  ttl: 72h
""",
    )
    assert settings.log.level is Level.DEBUG
    assert settings.log.formatter is Formatter.JSON
    assert not settings.log.access
    assert (settings.host, settings.port, settings.drain) == ("localhost", 5000, 60.0)
    assert settings.core.ttl == 72 * 3600
    assert settings.core.upstreams["docker.io"].basic
    credentials = settings.credentials["docker.io"]
    assert (credentials.username, credentials.password) == ("someone", "0123")
    assert "0123" not in repr(settings)


def test_a_text_means_what_a_file_means(config: Path) -> None:
    assert load_text(PLAIN + HUB) == read(config, PLAIN + HUB)


def test_without_a_file_it_is_hubs_cache_for_one_user() -> None:
    settings = load(None, {"HOME": "/home/one"})
    assert (settings.host, settings.port) == ("127.0.0.1", 5000)
    assert settings.root == Path("/home/one/.cache/distcache")
    assert settings.default == "docker.io"
    assert load(None, {"XDG_CACHE_HOME": "/c"}).root == Path("/c/distcache")
    assert load(None, {"XDG_CACHE_HOME": "c", "HOME": "/h"}).root == Path("/h/.cache/distcache")


def test_the_defaults_are_those_of_the_documentation(config: Path) -> None:
    settings = read(config, PLAIN + HUB)
    core = settings.core
    assert (core.max_size, core.ttl, core.evict, core.offline) == (None, 168 * 3600, True, False)
    hub = core.upstreams["docker.io"]
    assert (hub.tag_ttl, hub.stale_if_error, hub.negative_ttl) == (0, 720 * 3600, 10)
    assert list(astuple(settings.client)) == [30, 75, 60]
    assert list(astuple(settings.upstream)) == [5, 20, 60]
    assert (settings.drain, settings.max_connections) == (20, 1000)


def test_the_example_in_the_documentation_is_taken_without_a_warning(config: Path) -> None:
    text = DOCUMENTATION.read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    settings = read(config, example)
    assert settings.warnings == ()
    assert set(settings.sites) == {"docker.io", "ghcr.io", "registry.k8s.io"}


def test_a_ttl_of_0_means_never(config: Path) -> None:
    assert read(config, PLAIN + "proxy: {remoteurl: http://up:5000, ttl: 0}").core.ttl is None


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_hub_has_three_names(config: Path, name: str) -> None:
    listed = read(config, PLAIN + f"proxy: {{upstreams: {{{name}: {{}}}}}}")
    remote = read(config, PLAIN + f"proxy: {{remoteurl: 'https://{name}'}}")
    for settings in (listed, remote):
        site = settings.sites["docker.io"]
        assert site.url == Url("https", "registry-1.docker.io", 443)
        assert site.hub
        assert set(site.aliases) == {"index.docker.io", "registry-1.docker.io"}


def test_a_plain_mirror_of_another_registry_stands_for_hub(config: Path) -> None:
    settings = read(config, PLAIN + "proxy: {remoteurl: 'http://127.0.0.1:4000/'}")
    site = settings.sites["127.0.0.1:4000"]
    assert site.url == Url("http", "127.0.0.1", 4000)
    assert set(site.aliases) == {"docker.io", "index.docker.io", "registry-1.docker.io"}
    assert not site.hub


def test_with_a_list_of_upstreams_only_they_are_known(config: Path) -> None:
    proxy = "proxy: {remoteurl: 'http://up:4000', upstreams: {ghcr.io: {}}}"
    settings = read(config, PLAIN + proxy)
    assert settings.default == "up:4000"
    assert list(settings.sites) == ["ghcr.io", "up:4000"]
    assert settings.sites["up:4000"].aliases == ()


def test_remoteurl_may_name_a_listed_upstream(config: Path) -> None:
    proxy = """
proxy:
  remoteurl: https://ghcr.io
  username: u
  password: p
  tag_ttl: 1m
  upstreams:
    docker.io:
    ghcr.io: {tag_ttl: 5m, hosts: [GHCR.cache.local], allow_private_redirects: true}
"""
    settings = read(config, PLAIN + proxy)
    assert settings.default == "ghcr.io"
    assert settings.sites["ghcr.io"].hosts == ("ghcr.cache.local",)
    assert settings.sites["ghcr.io"].allow_private_redirects
    assert list(settings.credentials) == ["ghcr.io"]
    assert settings.core.upstreams["ghcr.io"].basic
    assert settings.core.upstreams["ghcr.io"].tag_ttl == 300
    assert settings.core.upstreams["docker.io"].tag_ttl == 60


def test_without_remoteurl_hub_is_the_default_or_else_the_first(config: Path) -> None:
    assert read(config, PLAIN + "proxy: {upstreams: {a.io: , docker.io: }}").default == "docker.io"
    assert read(config, PLAIN + "proxy: {upstreams: {b.io: , a.io: }}").default == "b.io"


def test_delete_off_means_no_eviction_and_a_warning(config: Path) -> None:
    text = HUB + "storage: {filesystem: {rootdirectory: /x}, delete: {enabled: false}}"
    settings = read(config, text)
    assert not settings.core.evict
    assert [warning.path for warning in settings.warnings] == ["$.storage.delete.enabled"]


@pytest.mark.parametrize(
    ("addr", "meant"),
    [
        (":5000", (None, 5000)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:5000", ("::1", 5000)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
    ],
)
def test_addresses(config: Path, addr: str, meant: tuple[str | None, int]) -> None:
    settings = read(config, PLAIN + HUB + f"http: {{addr: '{addr}'}}")
    assert (settings.host, settings.port) == meant


def test_variables_override_the_file(config: Path) -> None:
    environ = {
        "REGISTRY_HTTP_ADDR": "127.0.0.1:6000",
        "REGISTRY_PROXY_REMOTEURL": "http://up:4000",
        "REGISTRY_PROXY_TAG_TTL": "5m",
        "REGISTRY_PROXY_STALE_IF_ERROR": "1h",
        "REGISTRY_PROXY_USERNAME": "u",
        "REGISTRY_PROXY_PASSWORD": "0123",
        "REGISTRY_PROXY_MAX_SIZE": "10GiB",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/elsewhere",
        "REGISTRY_LOG_LEVEL": "error",
        "PATH": "/bin",
    }
    settings = read(config, PLAIN + HUB, environ)
    assert settings.warnings == ()
    assert (settings.host, settings.port) == ("127.0.0.1", 6000)
    assert settings.root == Path("/elsewhere")
    assert settings.core.upstreams["up:4000"].tag_ttl == 300
    assert settings.core.upstreams["up:4000"].stale_if_error == 3600
    assert settings.credentials["up:4000"].password == "0123"
    assert settings.core.max_size == 10 * 1024**3
    assert settings.log.level is Level.ERROR


def test_variables_alone_are_a_configuration() -> None:
    settings = load(None, {"HOME": "/h", "REGISTRY_PROXY_REMOTEURL": "http://up:4000"})
    assert list(settings.sites) == ["up:4000"]


def test_a_variable_reaches_into_a_listed_upstream(config: Path) -> None:
    environ = {
        "REGISTRY_PROXY_UPSTREAMS_GHCR_IO_USERNAME": "u",
        "REGISTRY_PROXY_UPSTREAMS_GHCR_IO_PASSWORD": "p",
    }
    settings = read(config, PLAIN + "proxy: {upstreams: {ghcr.io: }}", environ)
    assert settings.credentials["ghcr.io"].password == "p"


def test_an_unknown_variable_is_a_warning(config: Path) -> None:
    settings = read(config, PLAIN + HUB, {"REGISTRY_URL": "x", "REGISTRY_PORT_5000_TCP": "y"})
    paths = [warning.path for warning in settings.warnings]
    assert paths == ["$REGISTRY_PORT_5000_TCP", "$REGISTRY_URL"]


def test_every_error_is_told_at_once_with_its_path(config: Path) -> None:
    errors = wrong(
        config,
        """
version: 0.2
storage: {filesystem: {rootdirectroy: /x}}
http: {addr: nowhere, draintimeout: soon}
proxy:
  remoteurl: ftp://x
  username: u
  ttl: [1]
  max_size: big
  upstreams: {"not a host": }
""",
    )
    places = {line.rpartition(" @ ")[2] for line in errors}
    assert places == {
        "$.version",
        "$.storage.filesystem.rootdirectroy",
        "$.http.addr",
        "$.http.draintimeout",
        "$.proxy.remoteurl",
        "$.proxy.username",
        "$.proxy.ttl",
        "$.proxy.max_size",
        "$.proxy.upstreams['not a host']",
    }
    assert any("did you mean rootdirectory?" in line for line in errors)


REFUSED = {
    "auth: {silly: {realm: r, service: s}}": "$.auth.silly",
    "http: {tls: {letsencrypt: {email: a, hosts: [b]}}}": "$.http.tls.letsencrypt",
    "http: {net: unix}": "$.http.net",
    "http: {prefix: /some/}": "$.http.prefix",
    "http: {max_connections: 0}": "$.http.max_connections",
    "http: {addr: ':http'}": "$.http.addr",
    "http: {addr: ':70000'}": "$.http.addr",
    "log: {level: loud}": "$.log.level",
    "http: {header: {}}": "$.http.header",
    "prxy: {}": "$.prxy",
    "http: 5": "$.http",
}


@pytest.mark.parametrize(("section", "place"), REFUSED.items())
def test_what_would_be_unsafe_to_pass_over_is_refused(
    config: Path, section: str, place: str
) -> None:
    errors = wrong(config, PLAIN + HUB + section)
    assert place in {line.rpartition(" @ ")[2] for line in errors}


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ("remoteurl: 'https://u:secret@up'", "$.proxy.remoteurl"),
        ("remoteurl: 'https://up?x=secret'", "$.proxy.remoteurl"),
        ("remoteurl: registry-1.docker.io", "$.proxy.remoteurl"),
        ("remoteurl: 'http://up', password: secret", "$.proxy.password"),
        ("remoteurl: 'http://up', username: 'a:b', password: secret", "$.proxy.username"),
        ("remoteurl: 'http://up', offline: maybe", "$.proxy.offline"),
        ("upstreams: {docker.io: , index.docker.io: }", "$.proxy.upstreams['index.docker.io']"),
        ("upstreams: {a.io: {ca: /no/such/file}}", "$.proxy.upstreams['a.io'].ca"),
        ("upstreams: {a.io: {hosts: ['a b']}}", "$.proxy.upstreams['a.io'].hosts[0]"),
        ("upstreams: {a.io: {hosts: [x, X]}}", "$.proxy.upstreams['a.io'].hosts[1]"),
        ("upstreams: {a.io: {mirrors: [x]}}", "$.proxy.upstreams['a.io'].mirrors[0]"),
        ("upstreams: {a.io: }, username: u, password: secret", "$.proxy.username"),
        ("upstreams: {}", "$.proxy"),
        ("ttl: 1h", "$.proxy"),
    ],
)
def test_wrong_upstreams(config: Path, members: str, place: str) -> None:
    errors = wrong(config, PLAIN + f"proxy: {{{members}}}")
    assert [line.rpartition(" @ ")[2] for line in errors] == [place]
    assert "secret" not in "".join(errors)


def test_the_default_upstream_cannot_have_two_passwords(config: Path) -> None:
    proxy = (
        "proxy: {remoteurl: 'https://a.io', username: u, password: secret,"
        " upstreams: {a.io: {username: u, password: other}}}"
    )
    (error,) = wrong(config, PLAIN + proxy)
    assert error == "differs from what a.io has @ $.proxy.username"


@pytest.mark.parametrize("driver", ["inmemory", "s3", "azure", "gcs"])
def test_other_storage_drivers_are_refused(config: Path, driver: str) -> None:
    (error,) = wrong(config, HUB + f"storage: {{{driver}: }}")
    assert error.startswith("refused: only the filesystem driver")
    assert error.endswith(f"@ $.storage.{driver}")


def test_a_file_must_say_where_to_store(config: Path) -> None:
    assert wrong(config, HUB) == ["give storage.filesystem.rootdirectory @ $.storage"]


def test_a_registry_that_is_no_proxy_is_not_taken(config: Path) -> None:
    assert wrong(config, MIRROR) == ["give proxy.remoteurl or proxy.upstreams @ $.proxy"]


def test_a_key_given_twice_is_an_error_with_both_lines(config: Path) -> None:
    (error,) = wrong(config, PLAIN + HUB + "version: 0.1\n")
    assert error == "key given twice, first in line 1 (line 4) @ $.version"


def test_a_broken_file_is_told_without_quoting_it(config: Path) -> None:
    (error,) = wrong(config, "proxy: {password: 'secret\n")
    assert "not valid YAML" in error
    assert "secret" not in error


def test_files_that_cannot_be_read(config: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(config, {})
    config.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(config, {})
    config.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(SettingsError, match="larger"):
        load(config, {})


def test_deep_or_exploding_yaml_is_an_error(config: Path) -> None:
    assert wrong(config, "a: " + "[" * 100 + "]" * 100)
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 9))
    assert wrong(config, "l0: &l0 x\n" + levels)


@pytest.mark.parametrize("text", ["word", "- one\n- two", "7"])
def test_a_text_that_is_no_mapping_is_an_error(config: Path, text: str) -> None:
    assert "must be a mapping of keys to values @ $" in wrong(config, text)


@given(st.text(max_size=60))
def test_any_text_is_settings_or_a_settings_error(text: str) -> None:
    environ = {"HOME": "/h", "REGISTRY_PROXY": text, "REGISTRY_HTTP_ADDR": text}
    with suppress(SettingsError):
        load(None, environ)


def test_every_key_that_is_acted_on_is_in_the_documentation() -> None:
    text = DOCUMENTATION.read_text()
    listed = text[text.index("| Key of an upstream |") :]
    for path in _leaves(SCHEMA, ()):
        if path[:3] == ("proxy", "upstreams", "*"):
            assert f"`{path[3]}" in listed, path
        else:
            assert f"`{'.'.join(path)}" in text, path


def _leaves(node: Node, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if node.kind in (Kind.VALUE, Kind.LIST) or path == ("log", "fields"):
        yield path
    elif node.kind in (Kind.SECTION, Kind.MAP):
        for key, member in node.members.items():
            yield from _leaves(member, (*path, key))
