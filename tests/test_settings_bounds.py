"""Values that are spelled well and still wrong, or right and worth a warning."""

from pathlib import Path

import pytest

from distcache.configuration.tree import parse
from distcache.settings import Settings, SettingsError, load

FILE = """
version: 0.1
storage: {filesystem: {rootdirectory: /srv/cache}}
"""
LOGIN = "proxy: {remoteurl: 'https://up.example', username: u, password: p}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yml"


def read(path: Path, text: str) -> Settings:
    path.write_text(FILE + text)
    return load(path, {})


def wrong(path: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(path, text)
    return [problem.path for problem in caught.value.problems]


def warned(path: Path, text: str) -> list[str]:
    return [warning.path for warning in read(path, text).warnings]


@pytest.mark.parametrize("name", ["connect", "headers", "idle"])
def test_an_upstream_that_gets_no_time_could_never_answer(config: Path, name: str) -> None:
    text = f"proxy: {{remoteurl: 'http://up', timeouts: {{{name}: 0}}}}"
    assert wrong(config, text) == [f"$.proxy.timeouts.{name}"]


@pytest.mark.parametrize("name", ["headers", "idle", "write"])
def test_a_client_that_gets_no_time_could_never_ask(config: Path, name: str) -> None:
    text = f"proxy: {{remoteurl: 'http://up'}}\nhttp: {{timeouts: {{{name}: 0s}}}}"
    assert wrong(config, text) == [f"$.http.timeouts.{name}"]


@pytest.mark.parametrize("url", ["https://up.example/v2/", "https://registry-1.docker.io/v2"])
def test_the_protocols_own_path_is_not_part_of_an_upstream(config: Path, url: str) -> None:
    assert wrong(config, f"proxy: {{remoteurl: '{url}'}}") == ["$.proxy.remoteurl"]


def test_no_drain_time_is_a_choice(config: Path) -> None:
    text = "proxy: {remoteurl: 'http://up'}\nhttp: {draintimeout: 0}"
    assert read(config, text).drain == 0


def test_a_cache_of_no_size_could_keep_nothing(config: Path) -> None:
    assert wrong(config, "proxy: {remoteurl: 'http://up', max_size: 0}") == ["$.proxy.max_size"]


def test_a_file_without_certificates_is_no_authority(config: Path, tmp_path: Path) -> None:
    junk = tmp_path / "ca.pem"
    junk.write_text("not a certificate")
    text = f"proxy: {{upstreams: {{a.io: {{ca: {junk}}}}}}}"
    assert wrong(config, text) == ["$.proxy.upstreams['a.io'].ca"]


@pytest.mark.parametrize("address", [":5000", "0.0.0.0:5000", "192.0.2.1:5000", "[::]:5000"])
def test_sharing_an_upstream_login_with_everybody_is_warned_of(config: Path, address: str) -> None:
    assert warned(config, LOGIN + f"http: {{addr: '{address}'}}") == ["$.http.addr"]


@pytest.mark.parametrize("address", ["127.0.0.1:5000", "localhost:5000", "[::1]:5000"])
def test_a_login_used_on_this_machine_only_is_not(config: Path, address: str) -> None:
    assert warned(config, LOGIN + f"http: {{addr: '{address}'}}") == []


def test_logstash_lines_are_json(config: Path) -> None:
    text = "proxy: {remoteurl: 'http://up'}\nlog: {formatter: logstash}"
    assert warned(config, text) == ["$.log.formatter"]


def test_an_empty_login_is_none(config: Path) -> None:
    text = "proxy: {remoteurl: 'http://up', username: '', password: ''}"
    assert read(config, text).credentials == {}


def test_values_merged_from_an_anchor_count(config: Path) -> None:
    text = """
proxy:
  upstreams:
    a.io: &common {tag_ttl: 1h, negative_ttl: 1m}
    b.io: {<<: *common, tag_ttl: 2h}
"""
    treated = read(config, text).core.upstreams
    assert (treated["a.io"].tag_ttl, treated["b.io"].tag_ttl) == (3600, 7200)
    assert treated["b.io"].negative_ttl == 60


def test_wrong_values_deep_in_the_list_have_their_path_and_hide_nothing_else(config: Path) -> None:
    text = """
proxy:
  upstreams:
    a.io: {tag_ttl: soon, hosts: one.local, username: u}
    b.io: [remoteurl]
log: {fields: {list: [1]}, accesslog: 1}
"""
    assert set(wrong(config, text)) == {
        "$.proxy.upstreams['a.io'].tag_ttl",
        "$.proxy.upstreams['a.io'].hosts",
        "$.proxy.upstreams['a.io'].username",
        "$.proxy.upstreams['b.io']",
        "$.log.fields.list",
        "$.log.accesslog",
    }


def test_unknown_keys_are_found_below_keys_without_meaning(config: Path) -> None:
    text = """
proxy: {remoteurl: 'http://up'}
health: {http: [{uri: x, headers: {Any: [thing]}, statuscod: 200}]}
"""
    assert wrong(config, text) == ["$.health.http[0].statuscod"]


@pytest.mark.parametrize("text", ["", "null", "---\n"])
def test_a_file_that_says_nothing_is_no_configuration(config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(config, {})
    assert {problem.path for problem in caught.value.problems} == {"$.storage", "$.proxy"}


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("http: {max_connections: many}", ["$.http.max_connections"]),
        ("http: {max_connections: 1234567890123456789}", ["$.http.max_connections"]),
        ("[a, b]: c", ["$"]),
        ("http: {<<: word, max_connections: 7}", []),
        ("http: {tls: {letsencrypt: {}}}", []),
        ("http: {tls: {letsencrypt: ''}}", []),
    ],
)
def test_odd_values(config: Path, text: str, places: list[str]) -> None:
    proxy = "proxy: {remoteurl: 'http://up'}\n"
    if places:
        assert wrong(config, proxy + text) == places
    else:
        assert read(config, proxy + text).sites


def test_files_must_be_kept_somewhere(config: Path) -> None:
    config.write_text("proxy: {remoteurl: 'http://up'}\nstorage: {filesystem: {rootdirectory: ''}}")
    with pytest.raises(SettingsError, match="must not be empty"):
        load(config, {})


def test_what_was_read_can_be_printed_without_its_secrets(config: Path) -> None:
    tree, _ = parse("password: hunter2")
    assert repr(tree) == "{'password': Scalar(str, line 1)}"
