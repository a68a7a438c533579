"""A configuration made in a program means what its config.yml means."""

import subprocess
import sys
from pathlib import Path

import pytest

import distcache
from distcache.configuration.upstreams import HUB, HUB_URL
from distcache.embedding import settings_of
from distcache.settings import SettingsError, load_text
from distcache.wire.outgoing import Credentials
from distcache.wire.urls import Url


def test_little_need_be_said() -> None:
    settings = distcache.Config(store="cache").settings()
    assert settings.default == HUB
    assert str(settings.sites[HUB].url).rstrip("/") == HUB_URL
    assert (settings.host, settings.port, settings.root) == ("127.0.0.1", 0, Path("cache"))


def test_it_means_what_the_same_words_mean_in_a_file() -> None:
    config = distcache.Config(
        store="/srv/cache",
        upstreams={
            "docker.io": distcache.Upstream(username="u", password="p", tag_ttl=0.5),
            "ghcr.io": distcache.Upstream(
                url="https://ghcr.example", hosts=("ghcr.local",), allow_private_redirects=True
            ),
            "registry.local": "http://127.0.0.1:5009",
        },
        listen="127.0.0.1:5007",
        tag_ttl=300,
        stale_if_error=3600,
        negative_ttl=2.5,
        ttl=0,
        max_size=10_000_000_000,
        offline=True,
        drain=7,
    )
    text = """
        version: 0.1
        storage: {filesystem: {rootdirectory: /srv/cache}}
        http: {addr: "127.0.0.1:5007", draintimeout: 7s}
        proxy:
          tag_ttl: 5m
          stale_if_error: 1h
          negative_ttl: 2500ms
          ttl: 0s
          max_size: 10GB
          offline: true
          upstreams:
            docker.io: {username: u, password: p, tag_ttl: 500ms}
            ghcr.io:
              remoteurl: https://ghcr.example
              hosts: [ghcr.local]
              allow_private_redirects: true
            registry.local: {remoteurl: "http://127.0.0.1:5009"}
    """
    assert config.settings() == load_text(text)
    assert config.settings().credentials == {"docker.io": Credentials("u", "p")}


def test_whatever_else_a_file_can_say_is_joined_to_it() -> None:
    more = {"http": {"timeouts": {"idle": "5s"}}, "proxy": {"timeouts": {"connect": "1s"}}}
    settings = distcache.Config(store="cache", upstreams={"a": "http://a"}, more=more).settings()
    assert float(settings.client.idle) == 5.0
    assert float(settings.upstream.connect) == 1.0
    assert settings.sites["a"].url == Url("http", "a", 80)


def test_what_is_wrong_is_said_with_its_path_and_without_secrets() -> None:
    upstream = distcache.Upstream(username="us:er", password="verysecret")
    config = distcache.Config(store="cache", upstreams={"ghcr.io": upstream}, listen="nowhere")
    with pytest.raises(SettingsError) as caught:
        config.settings()
    assert "@ $.http.addr" in str(caught.value)
    assert "@ $.proxy.upstreams['ghcr.io'].username" in str(caught.value)
    assert "verysecret" not in str(caught.value) + repr(config)


def test_a_path_to_listen_on() -> None:
    settings = distcache.Config(store="cache", listen="unix:/run/cache.sock").settings()
    assert settings.unix == Path("/run/cache.sock")


def test_settings_are_taken_as_they_are() -> None:
    settings = distcache.Config(store="cache").settings()
    assert settings_of(settings) is settings
    assert settings_of(distcache.Config(store="cache")) == settings


def test_one_runtime_does_not_load_the_other() -> None:
    code = (
        "import sys, distcache\n"
        "assert not {'trio', 'asyncio'} & set(sys.modules)\n"
        "distcache.Config(store='cache').settings()\n"
        "distcache.trio_server.open_server\n"
        "distcache.asyncio_server.open_server\n"
        "distcache.Decided\n"
        "try: distcache.nothing\n"
        "except AttributeError: print('well')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "well\n"
