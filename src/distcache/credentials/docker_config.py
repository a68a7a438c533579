"""Credentials as `docker login` leaves them: a `config.json` with logins in it, or with the names
of helpers that hold them.

Source: docker/cli, cli/config/configfile/file.go and cli/config/credentials.
"""

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import field, frozen

from ..core.events import Secret
from ..watched import FileProblem, Report, WatchedFile
from ..wire.outgoing import Credentials, IdentityToken, Login
from .helper import Helper, HelperSource
from .logins import Ask, Failed, Known

HUB_SERVER = "https://index.docker.io/v1/"
"""Docker's name for Docker Hub, wherever it keeps a login."""

HUB_HOSTS = ("index.docker.io", "docker.io", "registry-1.docker.io")

HELPER_LIFE = 300.0
"""Seconds that a helper's word is taken for; docker runs it for every pull."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@frozen
class DockerConfig:
    """`server` is docker's name of the registry: `ghcr.io`, `host:5000`, or Hub's."""

    path: Path
    server: str


@frozen
class Contents:
    """By registry host, in lower case."""

    logins: Mapping[str, Login] = field(repr=lambda logins: repr(sorted(logins)))
    helpers: Mapping[str, str]
    store: str | None


def server_of(host: str) -> str:
    """Docker's name for the registry that image references call `host`."""
    return HUB_SERVER if host in HUB_HOSTS else host


def parse(data: bytes) -> Contents:
    """Raises ValueError; an entry that holds no login is passed over, as docker does."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    if not isinstance(tree, dict):
        raise ValueError("is no configuration of docker's")
    helpers = {_host(server): _program(name) for server, name in _members(tree, "credHelpers")}
    logins = {_host(server): _login(entry) for server, entry in _members(tree, "auths")}
    store = tree.get("credsStore")
    return Contents(
        logins={host: login for host, login in logins.items() if host and login},
        helpers={host: name for host, name in helpers.items() if host},
        store=_program(store) if store else None,
    )


class DockerConfigSource:
    """One registry's login. A file that becomes unusable leaves what it said, and is told of
    once."""

    def __init__(self, spec: DockerConfig, report: Report) -> None:
        self._spec = spec
        self._report = report
        self._file = WatchedFile(spec.path, parse)
        self._last: Contents | None = None
        self._helper: tuple[str, HelperSource] | None = None
        self._told = ""

    def current(self, now: float) -> Known | Failed | Ask:
        contents = self._file.current(now)
        if contents is None:
            return Ask(partial(self._read, now))
        return self._said(contents, now)

    def _read(self, now: float) -> Known | Failed:
        try:
            self._last = self._file.read(now)
            self._told = ""
        except FileProblem as problem:
            if self._told != str(problem):
                self._told = str(problem)
                self._report("a file of credentials cannot be used", {"error": str(problem)})
            if self._last is None:
                return Failed(str(problem))
        said = self._said(self._last, now)
        return said.job() if isinstance(said, Ask) else said

    def _said(self, contents: Contents, now: float) -> Known | Failed | Ask:
        server = self._spec.server
        hosts = HUB_HOSTS if server == HUB_SERVER else (server.lower(),)
        helper = next((contents.helpers[h] for h in hosts if h in contents.helpers), contents.store)
        if helper is None:
            return Known(next((contents.logins[h] for h in hosts if h in contents.logins), None))
        known = self._helper
        if known is None or known[0] != helper:
            spec = Helper(f"docker-credential-{helper}", server, HELPER_LIFE)
            known = self._helper = helper, HelperSource(spec, self._report)
        return known[1].current(now)


def _members(tree: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    found = tree.get(key)
    if found is None:
        return []
    if not isinstance(found, dict):
        raise ValueError(f"{key} is no mapping")
    return list(found.items())


def _host(server: str) -> str:
    """The registry that a key means; empty for a part of a registry (podman's `quay.io/acme`),
    whose login is not for the rest of it."""
    scheme, _, rest = server.rpartition("://")
    host, slash, path = rest.partition("/")
    whole = not slash or scheme or path.strip("/") in ("", "v1", "v2")
    return host.lower() if whole else ""


def _program(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("a credential helper's name must be letters, digits, '.', '_' and '-'")
    return name


def _login(entry: object) -> Login | None:
    members = entry if isinstance(entry, dict) else {}
    identity = members.get("identitytoken")
    if isinstance(identity, str) and identity:
        return IdentityToken(Secret(identity))
    user, password = members.get("username"), members.get("password")
    packed = members.get("auth")
    if isinstance(packed, str) and packed:
        try:
            pair = b64decode(packed, validate=True).decode()
        except ValueError:
            return None
        user, _, password = pair.partition(":")
        # Old versions of docker padded with them.
        password = password.rstrip("\0")
    if not isinstance(user, str) or not isinstance(password, str) or not user or not password:
        return None
    return Credentials(user, password)
