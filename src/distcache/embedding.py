"""A configuration made in a program, for `open_server` of either runtime.

Its words are those of `config.yml`, and it is read as one: the same defaults, the same checks,
the same complaints. What has no parameter here goes into `more`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import evolve, field, frozen

from .settings import Settings, load_text

DOCKER_HUB = "docker.io"
EPHEMERAL = "127.0.0.1:0"
"""Any free port; the server's `url` says which."""

_ON_A_PATH = "unix:"


@frozen
class Upstream:
    """A registry to pull through. `url` None: `https://` and its name. Durations are in seconds,
    None: as `Config` says. `ca`: a PEM file to trust besides the system's."""

    url: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | str | None = None
    hosts: tuple[str, ...] = ()
    allow_private_redirects: bool = False
    tag_ttl: float | None = None
    stale_if_error: float | None = None
    negative_ttl: float | None = None


@frozen
class Config:
    """`store`: a directory, made when missing, of one server at a time. `upstreams` by the host
    that image references name, as Upstream or as its URL; the default one is Docker Hub's if it
    is there, else the first. `listen`: `HOST:PORT`, or `unix:PATH`.

    `tag_ttl`, `stale_if_error`, `negative_ttl`, `ttl` and `drain` are in seconds, `max_size` in
    bytes; None: as in `config.yml`. `more` has any of its sections, and wins."""

    store: Path | str
    upstreams: Mapping[str, Upstream | str] = field(factory=lambda: {DOCKER_HUB: Upstream()})
    listen: str = EPHEMERAL
    tag_ttl: float | None = None
    stale_if_error: float | None = None
    negative_ttl: float | None = None
    ttl: float | None = None
    max_size: int | None = None
    offline: bool = False
    drain: float | None = None
    more: Mapping[str, Any] = field(factory=dict, repr=False)

    def settings(self) -> Settings:
        """What it means. SettingsError."""
        path = self.listen.removeprefix(_ON_A_PATH)
        on_a_path = path != self.listen
        proxy = {
            "upstreams": {name: _upstream(one) for name, one in self.upstreams.items()},
            "tag_ttl": _seconds(self.tag_ttl),
            "stale_if_error": _seconds(self.stale_if_error),
            "negative_ttl": _seconds(self.negative_ttl),
            "ttl": _seconds(self.ttl),
            "max_size": None if self.max_size is None else f"{self.max_size}B",
            "offline": self.offline or None,
        }
        meant = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(self.store)}},
            "http": {
                "addr": EPHEMERAL if on_a_path else self.listen,
                "draintimeout": _seconds(self.drain),
            },
            "proxy": proxy,
        }
        settings = load_text(yaml.safe_dump(_joined(_given(meant), self.more), sort_keys=False))
        return evolve(settings, unix=Path(path)) if on_a_path else settings


def settings_of(config: Config | Settings) -> Settings:
    """SettingsError."""
    return config.settings() if isinstance(config, Config) else config


def _upstream(one: Upstream | str) -> dict[str, Any]:
    if isinstance(one, str):
        return {"remoteurl": one}
    return {
        "remoteurl": one.url,
        "username": one.username,
        "password": one.password,
        "ca": None if one.ca is None else str(one.ca),
        "hosts": list(one.hosts) or None,
        "allow_private_redirects": one.allow_private_redirects or None,
        "tag_ttl": _seconds(one.tag_ttl),
        "stale_if_error": _seconds(one.stale_if_error),
        "negative_ttl": _seconds(one.negative_ttl),
    }


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:f}s"


def _given(section: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None."""
    found = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            found[key] = _given(value)
        elif value is not None:
            found[key] = value
    return found


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(one)
    for key, value in other.items():
        mine = joined.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            value = _joined(mine, value)
        joined[key] = value
    return joined
