"""The server under test, as its users run it: a command, a config.yml, a store directory.

DISTCACHE_COMMAND names another server with the same command line and configuration (such as
`docker-registry`), which shows that a test fails for the server's reasons, not the harness's.
"""

import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from attrs import define, field

from tests.support.processes import Server, free_port

RUNTIMES = ("trio", "asyncio")
"""What `--runtime` may be: black-box tests run once for each."""


def server_command() -> list[str]:
    given = os.environ.get("DISTCACHE_COMMAND")
    return shlex.split(given) if given else [sys.executable, "-m", "distcache"]


@define(eq=False)
class CacheServer:
    """One configured cache in `directory`; `proxy`, `http`, `storage` and `auth` are sections of
    its configuration, added to what must be there.

    `store` may lie elsewhere; `environment` is added to the tests' own; `command` replaces
    `server_command()`. What is changed here counts from the next `start`, sections of the
    configuration also from `configure` and `hang_up`."""

    directory: Path
    proxy: Mapping[str, object]
    port: int = field(factory=free_port)
    runtime: str = field(default=RUNTIMES[0], kw_only=True)
    http: Mapping[str, object] = field(factory=dict, kw_only=True)
    storage: Mapping[str, object] = field(factory=dict, kw_only=True)
    auth: Mapping[str, object] = field(factory=dict, kw_only=True)
    store: Path = field(kw_only=True)
    environment: Mapping[str, str] = field(factory=dict, kw_only=True)
    command: Sequence[str] = field(factory=server_command, kw_only=True)
    server: Server = field(init=False)

    @store.default
    def _own_store(self) -> Path:
        return self.directory / "store"

    def __attrs_post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [*self.command, "serve", str(self.config)]
        if "DISTCACHE_COMMAND" not in os.environ:
            command += ["--runtime", self.runtime]
        environment = {**os.environ, **self.environment}
        self.server = Server(command, self.port, self.directory / "output.log", environment)

    @property
    def config(self) -> Path:
        return self.directory / "config.yml"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Raises ServerError."""
        self.configure()
        self.server.start()

    def configure(self) -> None:
        """Write the configuration file; a running server learns of it by `hang_up`."""
        config = {
            "version": "0.1",
            "log": {"level": "info", "formatter": "json"},
            "storage": {"filesystem": {"rootdirectory": str(self.store)}, **self.storage},
            "http": {"addr": self.address, **self.http},
            "proxy": dict(self.proxy),
        } | ({"auth": dict(self.auth)} if self.auth else {})
        self.config.write_text(yaml.safe_dump(config))

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again."""
        self.signal(signal.SIGHUP)

    def signal(self, number: signal.Signals) -> None:
        assert self.server.process is not None
        self.server.process.send_signal(number)

    def stop(self) -> int:
        return self.server.stop()

    def kill(self) -> int:
        return self.server.kill()
