"""The server under test, as its users run it: a command, a config.yml, a store directory.

DISTCACHE_COMMAND names another server with the same command line and configuration (such as
`docker-registry`), which shows that a test fails for the server's reasons, not the harness's.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from attrs import define, field

from tests.support.processes import Server, free_port


def server_command() -> list[str]:
    given = os.environ.get("DISTCACHE_COMMAND")
    return shlex.split(given) if given else [sys.executable, "-m", "distcache"]


@define(eq=False)
class CacheServer:
    """One configured cache in `directory`; `proxy` is the configuration's section."""

    directory: Path
    proxy: Mapping[str, object]
    port: int = field(factory=free_port)
    server: Server = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [*server_command(), "serve", str(self.directory / "config.yml")]
        self.server = Server(command, self.port, self.directory / "output.log")

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Raises ServerError."""
        config = {
            "version": "0.1",
            "log": {"level": "info", "formatter": "json"},
            "storage": {"filesystem": {"rootdirectory": str(self.store)}},
            "http": {"addr": self.address},
            "proxy": dict(self.proxy),
        }
        (self.directory / "config.yml").write_text(yaml.safe_dump(config))
        self.server.start()

    def stop(self) -> int:
        return self.server.stop()

    def kill(self) -> int:
        return self.server.kill()
