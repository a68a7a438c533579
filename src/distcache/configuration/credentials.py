"""What a `proxy` section or an upstream says about the credentials to show."""

import shutil
from collections.abc import Callable
from pathlib import Path

from ..credentials import DockerConfig, Helper, PasswordFile, Spec
from ..credentials import docker_config as docker
from ..credentials import password_file as secret
from ..wire.outgoing import Credentials
from . import document
from .files import exposed, parsed
from .tree import Problem, below


def spec(
    meant: document.Upstream,
    host: str,
    path: str,
    problems: list[Problem],
    warnings: list[Problem],
) -> Spec | None:
    """None: there are none. `host` is where they would be shown, `path` the section they are
    in."""

    def wrong(message: str, key: str) -> None:
        problems.append(Problem(message, below(path, key)))

    if meant.exec is not None:
        return _helper(meant, meant.exec, host, path, problems, warnings)
    if meant.docker_config:
        _alone(meant, "docker_config", ("username", "password", "password_file"), wrong)
        parsed(meant.docker_config, docker.parse, below(path, "docker_config"), problems)
        return DockerConfig(Path(meant.docker_config), docker.server_of(host))
    if meant.username and ":" in meant.username:
        # RFC 7617 section 2: it would be read as the password's beginning.
        wrong("must not hold a colon", "username")
    if meant.password_file:
        _alone(meant, "password_file", ("password",), wrong)
        if not meant.username:
            wrong("a password without a username", "password_file")
        parsed(meant.password_file, secret.parse, below(path, "password_file"), problems)
        if exposed(meant.password_file):
            why = "every user of this machine can read the file"
            warnings.append(Problem(why, below(path, "password_file")))
        return PasswordFile(meant.username or "", Path(meant.password_file))
    if meant.username and meant.password:
        return Credentials(meant.username, meant.password)
    if meant.username:
        wrong("a username without a password", "username")
    if meant.password:
        wrong("a password without a username", "password")
    return None


def _helper(
    meant: document.Upstream,
    said: document.Exec,
    host: str,
    path: str,
    problems: list[Problem],
    warnings: list[Problem],
) -> Helper:
    def wrong(message: str, key: str) -> None:
        problems.append(Problem(message, below(path, key)))

    _alone(meant, "exec", ("password_file", "docker_config"), wrong)
    place = below(path, "exec")
    for key in ("username", "password"):
        if getattr(meant, key):
            # The registry passes over them, too.
            warnings.append(Problem("not used, as exec is given", below(path, key)))
    if not said.command:
        problems.append(Problem("must be given", below(place, "command")))
    elif shutil.which(said.command) is None:
        # It may still come: a missing helper must not keep the server from starting.
        warnings.append(Problem("no such program now", below(place, "command")))
    return Helper(said.command, docker.server_of(host), said.lifetime)


def _alone(
    meant: document.Upstream,
    chosen: str,
    others: tuple[str, ...],
    wrong: Callable[[str, str], None],
) -> None:
    for other in others:
        if getattr(meant, other):
            wrong(f"cannot be given together with {chosen}", other)
