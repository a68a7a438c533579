"""A cache with images in its store, and the commands as an operator types them.

The server runs in a thread of this process, or not at all: the commands find out by themselves,
by the store's lock.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from attrs import define, field
from typer.testing import CliRunner, Result

from distcache.cli import app
from distcache.settings import load
from distcache.testing.runtimes import RUNTIMES, RuntimeName, running_cache
from tests.support.footprint import awaited
from tests.support.origin import Origin
from tests.support.processes import free_port

OLD, NEW = b"o" * 500, b"n" * 700
SHARED = b"s" * 1000
IN_BOTH = len(SHARED) + len(b'{"tag": "1"}')
"""Bytes: the layer and the config."""


@define(eq=False)
class Shop:
    """`upstream` is the default one, as docker.io, and there is ghcr.io, which nobody reaches.
    `http`, `proxy` and `auth` are further keys of the configuration's sections."""

    directory: Path
    upstream: Origin
    http: dict[str, object] = field(factory=dict)
    proxy: dict[str, object] = field(factory=dict)
    auth: dict[str, object] = field(factory=dict)
    port: int = field(factory=free_port)
    debug_port: int = field(factory=free_port)

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def config(self) -> Path:
        return self.directory / "config.yml"

    @property
    def debug(self) -> str:
        return f"127.0.0.1:{self.debug_port}"

    def configure(self, *, debug: bool = True) -> None:
        http: dict[str, object] = {"addr": f"127.0.0.1:{self.port}", "draintimeout": 0}
        if debug:
            http["debug"] = {"addr": self.debug}
        hub = {"remoteurl": f"http://127.0.0.1:{self.upstream.port}"}
        tree = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(self.store)}},
            "http": http | self.http,
            "proxy": {"upstreams": {"docker.io": hub, "ghcr.io": {}}, **self.proxy},
        }
        if self.auth:
            tree["auth"] = self.auth
        self.config.write_text(yaml.safe_dump(tree))

    @contextmanager
    def running(self, runtime: RuntimeName = "asyncio") -> Iterator[None]:
        settings = load(self.config, {})
        with running_cache(settings, RUNTIMES[runtime]):
            yield

    def run(self, *words: str | Path, **environment: str) -> Result:
        """A command of this cache's operator."""
        return run(*words, "--config", self.config, **environment)

    def ask(self, *words: str | Path) -> dict[str, Any]:
        """What a command that must do well says as JSON."""
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.output
        tree = json.loads(done.stdout)
        assert isinstance(tree, dict)
        return tree

    def settle(self) -> None:
        """Wait until the running server has put away what it fetched."""
        awaited(lambda: self.ask("du")["fills"], lambda fills: not fills)

    def blob(self, digest: str) -> Path:
        algorithm, _, name = digest.partition(":")
        return self.store / "blobs" / algorithm / name


def run(*words: str | Path, **environment: str) -> Result:
    variables: dict[str, str | None] = dict.fromkeys(
        name for name in os.environ if name.startswith("REGISTRY_")
    )
    done = CliRunner().invoke(app, list(map(str, words)), env={**variables, **environment})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def stocked(directory: Path, upstream: Origin) -> Shop:
    """Two images that share a layer are held, `library/old:1` and `library/new:1`."""
    upstream.add_image("library/old", "1", [SHARED, OLD])
    upstream.add_image("library/new", "1", [SHARED, NEW])
    shop = Shop(directory, upstream)
    shop.configure()
    with shop.running():
        shop.ask("warm", "old:1")
        shop.ask("warm", "new:1")
        shop.settle()
    return shop


def open_for_orders(shop: Shop, how: str, stack: ExitStack) -> None:
    """`how`: a runtime's name, or `rest`."""
    if how == "trio":
        stack.enter_context(shop.running("trio"))
    elif how == "asyncio":
        stack.enter_context(shop.running("asyncio"))
