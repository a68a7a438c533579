"""Everything that an upstream can be given: credentials, the way to it, what is asked of it."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from distcache.access import Patterns
from distcache.configuration.upstreams import forward_proxy
from distcache.core.config import Upstream
from distcache.credentials import Credentials, DockerConfig, Helper, PasswordFile
from distcache.credentials.docker_config import HUB_SERVER
from distcache.settings import (
    Settings,
    SettingsError,
    UpstreamTimeouts,
    load,
)
from distcache.wire.sites import ForwardProxy
from distcache.wire.urls import Url
from tests.access.signing import certify, key
from tests.test_settings_access import write_key

FILE = """
version: 0.1
storage: {filesystem: {rootdirectory: /srv/cache}}
proxy:
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.yml"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a `password`, a docker `config.json`, an executable `helper`, and
    `cert.pem`, `key.pem`, `both.pem`, `ca.pem`."""
    (tmp_path / "password").touch(mode=0o600)
    (tmp_path / "password").write_text("hunter2\n")
    packed = b64encode(b"alice:hunter2").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"ghcr.io": {"auth": packed}}}))
    (tmp_path / "helper").touch(mode=0o755)
    own = certify("cache", key("ES256"))
    (tmp_path / "cert.pem").write_bytes(own.pem)
    write_key(tmp_path / "key.pem", own)
    (tmp_path / "both.pem").write_bytes(own.pem + (tmp_path / "key.pem").read_bytes())
    (tmp_path / "ca.pem").write_bytes(certify("ca", key("ES256", 2), authority=True).pem)
    return tmp_path


def read(path: Path, *lines: str) -> Settings:
    path.write_text(
        FILE + "".join(f"  {line}\n".replace("DIR", str(path.parent)) for line in lines)
    )
    return load(path, {})


def wrong(path: Path, *lines: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(path, *lines)
    found = [str(problem).replace(str(path.parent), "DIR") for problem in caught.value.problems]
    assert "hunter2" not in "".join(found)
    return found


def warned(settings: Settings) -> list[str]:
    return [warning.path for warning in settings.warnings]


# Credentials


def test_a_password_file(config: Path, files: Path) -> None:
    expected = {"ghcr.io": PasswordFile("u", files / "password")}
    members = "username: u, password_file: DIR/password"
    listed = read(config, f"upstreams: {{ghcr.io: {{{members}}}}}")
    default = read(config, "remoteurl: https://ghcr.io", *members.split(", "))
    for settings in (listed, default):
        assert settings.sources == expected
        assert settings.credentials == {}
        assert settings.core.upstreams["ghcr.io"].basic
        assert warned(settings) == []


def test_a_password_for_everybody_is_warned_of(config: Path, files: Path) -> None:
    (files / "password").chmod(0o604)
    settings = read(config, "upstreams: {ghcr.io: {username: u, password_file: DIR/password}}")
    assert warned(settings) == ["$.proxy.upstreams['ghcr.io'].password_file"]


def test_a_helper_as_the_registry_has_it(config: Path, files: Path) -> None:
    text = ("remoteurl: https://registry-1.docker.io", "exec: {command: DIR/helper, lifetime: 1h}")
    settings = read(config, *text)
    assert settings.sources == {"docker.io": Helper(str(files / "helper"), HUB_SERVER, 3600)}
    assert settings.core.upstreams["docker.io"].basic
    once = read(config, "remoteurl: http://up:5000", "exec: {command: DIR/helper}")
    assert once.sources == {"up:5000": Helper(str(files / "helper"), "up:5000", None)}
    always = read(config, "remoteurl: http://up", "exec: {command: DIR/helper, lifetime: 0}")
    assert always.sources["up"] == Helper(str(files / "helper"), "up", 0)


def test_a_helper_makes_a_password_idle(config: Path, files: Path) -> None:
    text = (
        "remoteurl: http://up",
        "username: u",
        "password: hunter2",
        "exec: {command: DIR/helper}",
    )
    settings = read(config, *text)
    assert warned(settings) == ["$.proxy.username", "$.proxy.password"]
    assert settings.credentials == {}


def test_a_helper_that_is_not_there_yet_is_warned_of(config: Path) -> None:
    settings = read(config, "upstreams: {a.io: {exec: {command: no-such-helper}}}")
    assert warned(settings) == ["$.proxy.upstreams['a.io'].exec.command"]


def test_credentials_are_looked_up_for_the_host_that_they_are_shown_to(
    config: Path, files: Path
) -> None:
    members = "remoteurl: 'https://mirror.corp', docker_config: DIR/config.json"
    settings = read(config, f"upstreams: {{docker.io: {{{members}}}}}")
    assert settings.sources["docker.io"] == DockerConfig(files / "config.json", "mirror.corp")


def test_docker_config_for_all_upstreams_without_credentials_of_their_own(
    config: Path, files: Path
) -> None:
    settings = read(
        config,
        "remoteurl: http://up:5000",
        "docker_config: DIR/config.json",
        "upstreams:",
        "  docker.io:",
        "  ghcr.io: {username: u, password: p}",
        "  quay.io: {passthrough: true}",
    )
    path = files / "config.json"
    assert settings.sources == {
        "docker.io": DockerConfig(path, HUB_SERVER),
        "up:5000": DockerConfig(path, "up:5000"),
    }
    assert settings.credentials == {"ghcr.io": Credentials("u", "p")}
    assert [key for key, site in settings.sites.items() if site.passthrough] == ["quay.io"]
    assert not settings.core.upstreams["quay.io"].basic


def test_a_login_of_proxy_comes_before_its_docker_config(config: Path, files: Path) -> None:
    settings = read(
        config,
        "remoteurl: https://ghcr.io",
        "docker_config: DIR/config.json",
        "username: u",
        "password: p",
        "upstreams: {ghcr.io: , docker.io: }",
    )
    assert settings.credentials == {"ghcr.io": Credentials("u", "p")}
    assert list(settings.sources) == ["docker.io"]


@pytest.mark.parametrize(
    ("members", "errors"),
    [
        ("password_file: DIR/password", ["a password without a username @ PATH.password_file"]),
        ("username: 'a:b', password_file: DIR/password", ["must not hold a colon @ PATH.username"]),
        ("username: u, password: hunter2, password_file: DIR/password",
         ["cannot be given together with password_file @ PATH.password"]),
        ("username: u, password_file: DIR/none",
         ["DIR/none: cannot be read: No such file or directory @ PATH.password_file"]),
        ("username: u, password_file: DIR/config.yml",
         ["DIR/config.yml: holds more than one line, or control characters @ PATH.password_file"]),
        ("exec: {}", ["must be given @ PATH.exec.command"]),
        ("exec: {command: DIR/helper}, docker_config: DIR/config.json",
         ["cannot be given together with exec @ PATH.docker_config"]),
        ("exec: {command: DIR/helper}, username: u, password_file: DIR/password",
         ["cannot be given together with exec @ PATH.password_file"]),
        ("docker_config: DIR/config.json, username: u, password: hunter2",
         ["cannot be given together with docker_config @ PATH.username",
          "cannot be given together with docker_config @ PATH.password"]),
        ("docker_config: DIR/password", ["DIR/password: is no JSON @ PATH.docker_config"]),
        ("docker_config: DIR/none",
         ["DIR/none: cannot be read: No such file or directory @ PATH.docker_config"]),
        ("passthrough: true, username: u, password: hunter2",
         ["a login of our own excludes those of clients @ PATH.passthrough"]),
    ],
)  # fmt: skip
def test_credentials_that_cannot_be(
    config: Path, files: Path, members: str, errors: list[str]
) -> None:
    found = wrong(config, f"upstreams: {{a.io: {{{members}}}}}")
    assert found == [error.replace("PATH", "$.proxy.upstreams['a.io']") for error in errors]


@pytest.mark.parametrize("member", ["password_file: DIR/password", "exec: {command: DIR/helper}"])
def test_credentials_of_proxy_belong_to_its_remoteurl(
    config: Path, files: Path, member: str
) -> None:
    (error,) = wrong(config, "upstreams: {a.io: }", member)
    assert error.startswith("belongs to proxy.remoteurl")
    assert error.endswith(f"$.proxy.{member.partition(':')[0]}")


@pytest.mark.parametrize("listed", ["a.io", "A.io"])
def test_an_upstream_cannot_have_two_kinds_of_credentials(
    config: Path, files: Path, listed: str
) -> None:
    (error,) = wrong(
        config,
        "remoteurl: https://a.io",
        "username: u",
        "password_file: DIR/password",
        f"upstreams: {{{listed}: {{username: u, password: hunter2}}}}",
    )
    assert error == "differs from what a.io has @ $.proxy.username"


def test_passthrough_and_a_login_here_exclude_each_other(config: Path, files: Path) -> None:
    text = "upstreams: {a.io: {passthrough: true}}\nauth: {htpasswd: {realm: r, path: DIR/none}}"
    assert "not together with auth: a request carries one login @ $.proxy.upstreams" in wrong(
        config, text
    )


def test_neither_settings_nor_their_logins_show_a_secret(config: Path, files: Path) -> None:
    settings = read(
        config,
        "upstreams:",
        "  a.io: {username: u, password: hunter2, proxy: 'http://u:hunter2@proxy:3128'}",
        "  b.io: {username: u, password_file: DIR/password}",
    )
    assert "hunter2" not in f"{settings!r} {settings}"


# The way to an upstream


def test_certificates_towards_upstream(config: Path, files: Path) -> None:
    members = "ca: DIR/ca.pem, clientcert: DIR/cert.pem, clientkey: DIR/key.pem"
    site = read(config, f"upstreams: {{a.io: {{{members}}}}}").sites["a.io"]
    assert site.ca == str(files / "ca.pem")
    assert (site.client_cert, site.client_key) == (str(files / "cert.pem"), str(files / "key.pem"))
    site = read(config, "upstreams: {a.io: {clientcert: DIR/both.pem}}").sites["a.io"]
    assert (site.client_cert, site.client_key) == (str(files / "both.pem"), None)


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ("clientkey: DIR/key.pem", "of no use without clientcert @ PATH.clientkey"),
        ("clientcert: DIR/cert.pem", "no certificate with its key in PEM @ PATH.clientcert"),
        ("clientcert: DIR/none",
         "DIR/none: cannot be read: No such file or directory @ PATH.clientcert"),
        ("ca: DIR/key.pem", "holds no certificate in PEM: DIR/key.pem @ PATH.ca"),
    ],
)  # fmt: skip
def test_certificates_that_cannot_be_used(
    config: Path, files: Path, members: str, error: str
) -> None:
    found = wrong(config, f"upstreams: {{a.io: {{{members}}}}}")
    assert found == [error.replace("PATH", "$.proxy.upstreams['a.io']")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://proxy:3128", ForwardProxy("http://proxy:3128")),
        ("http://proxy", ForwardProxy("http://proxy:80")),
        ("https://proxy/", ForwardProxy("https://proxy:443")),
        ("socks5://10.0.0.1", ForwardProxy("socks5://10.0.0.1:1080")),
        ("socks5h://[::1]:9050", ForwardProxy("socks5://[::1]:9050")),
        ("http://u:p%40ss@proxy:1", ForwardProxy("http://proxy:1", Credentials("u", "p@ss"))),
        ("http://u@proxy:1", ForwardProxy("http://proxy:1", Credentials("u", ""))),
        ("proxy:3128", None),
        ("ftp://proxy:3128", None),
        ("socks4://proxy:3128", None),
        ("http://proxy:99999", None),
        ("http://u:hunter2@proxy:x", None),
        ("http://", None),
        ("http://[::1", None),
        ("http://pro xy:1", None),
        ("http://proxy:1/path", None),
        ("http://proxy:1?x", None),
        ("http://proxy:1#x", None),
    ],
)
def test_proxies(config: Path, text: str, expected: ForwardProxy | None) -> None:
    assert forward_proxy(text) == expected
    lines = f"upstreams: {{a.io: {{proxy: '{text}'}}}}"
    if expected is not None:
        assert read(config, lines).sites["a.io"].proxy == expected
    else:
        (error,) = wrong(config, lines)
        assert error.endswith("@ $.proxy.upstreams['a.io'].proxy")


def test_patience_with_one_upstream(config: Path) -> None:
    settings = read(
        config,
        "timeouts: {headers: 10s}",
        "upstreams: {slow.io: {timeouts: {connect: 9s}}, a.io: {timeouts: {}}, b.io: }",
    )
    assert settings.upstream == UpstreamTimeouts(5, 10, 60)  # type: ignore[arg-type]
    assert settings.timeouts == {"slow.io": UpstreamTimeouts(9, 10, 60)}  # type: ignore[arg-type]
    assert wrong(config, "upstreams: {a.io: {timeouts: {idle: 0}}}") == [
        "must be more than 0 @ $.proxy.upstreams['a.io'].timeouts.idle"
    ]


def test_mirrors_in_their_order(config: Path) -> None:
    mirrors = "['https://one.corp/hub', 'http://two:5000']"
    settings = read(config, f"upstreams: {{docker.io: {{mirrors: {mirrors}}}, a.io: }}")
    expected = (Url("https", "one.corp", 443, "/hub"), Url("http", "two", 5000))
    assert tuple(mirror.url for mirror in settings.sites["docker.io"].mirrors) == expected
    assert settings.core.upstreams["docker.io"].mirrors == 2
    assert settings.sites["a.io"].mirrors == ()
    assert settings.core.upstreams["a.io"].mirrors == 0
    (error,) = wrong(config, "upstreams: {a.io: {mirrors: ['https://a', 'https://u:hunter2@b']}}")
    assert error.endswith("@ $.proxy.upstreams['a.io'].mirrors[1]")


def test_repositories_that_are_served(config: Path) -> None:
    members = "{allow: ['library/*', 'acme/**'], deny: [acme/secret]}"
    settings = read(config, f"upstreams: {{docker.io: {members}, a.io: }}")
    patterns = Patterns(("library/*", "acme/**"), ("acme/secret",))
    assert settings.rules.repositories == {"docker.io": patterns}
    errors = wrong(config, "upstreams: {a.io: {allow: [a, A], deny: ['/x', y]}}")
    assert [error.rpartition(" @ ")[2] for error in errors] == [
        "$.proxy.upstreams['a.io'].allow[1]",
        "$.proxy.upstreams['a.io'].deny[0]",
    ]


def test_tags_that_do_not_move_are_named_for_all_upstreams_or_for_one(config: Path) -> None:
    settings = read(
        config,
        "immutable_tags: ['v*']",
        "upstreams:",
        "  docker.io: {}",
        "  ghcr.io: {immutable_tags: ['?.?.?', stable]}",
        "  quay.io: {immutable_tags: []}",
    )
    found = {key: one.immutable for key, one in settings.core.upstreams.items()}
    assert found == {"docker.io": ("v*",), "ghcr.io": ("?.?.?", "stable"), "quay.io": ()}


def test_a_cool_down_is_for_all_upstreams_or_for_one(config: Path) -> None:
    settings = read(
        config,
        "cool_down: 72h",
        "upstreams:",
        "  docker.io: {cool_down_except: ['library/*']}",
        "  ghcr.io: {cool_down: 1h}",
        "  quay.io: {cool_down: 0s, passthrough: true}",
    )
    found = {key: (one.cool_down, one.cool_down_except) for key, one in _treated(settings)}
    assert found == {
        "docker.io": (259_200.0, ("library/*",)),
        "ghcr.io": (3600.0, ()),
        "quay.io": (0.0, ()),
    }
    assert [one.cool_down for _, one in _treated(read(config, "upstreams: {a.io: {}}"))] == [0.0]


def _treated(settings: Settings) -> list[tuple[str, Upstream]]:
    return list(settings.core.upstreams.items())


def test_a_cool_down_that_cannot_be_is_an_error(config: Path) -> None:
    own = "upstreams: {a.io: {passthrough: true}, b.io: {cool_down_except: ['A B']}}"
    clash, pattern = wrong(config, "cool_down: 1h", own)
    assert clash == (
        "cannot be had with cool_down: set that to 0 @ $.proxy.upstreams['a.io'].passthrough"
    )
    assert pattern.endswith(" @ $.proxy.upstreams['b.io'].cool_down_except[0]")


def test_a_pattern_that_no_tag_can_match_is_an_error(config: Path) -> None:
    why = "must be a tag in which * and ? may stand for others"
    own = "upstreams: {a.io: {immutable_tags: ['']}, b.io: {}}"
    assert wrong(config, "immutable_tags: ['v*', 'a/b']", own) == [
        f"{why} @ $.proxy.upstreams['a.io'].immutable_tags[0]",
        f"{why} @ $.proxy.immutable_tags[1]",
    ]
