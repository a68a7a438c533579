"""Whom a command talks to: the server that runs on the store, else the store itself."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from ..admin import key
from ..admin.api import Api, Limits, Tree, Wrong
from ..admin.names import Names
from ..operations.at_rest import open_at_rest
from ..settings import Settings
from ..store import StoreLocked

TIMEOUT = 30.0
"""Seconds for an answer of the server."""


class CannotAsk(Exception):
    """A sentence for the operator."""


class Line:
    """`ask` looks, `order` changes. Both raise Wrong, and CannotAsk."""

    def __init__(
        self,
        ask: Callable[[str, Mapping[str, str]], Tree],
        order: Callable[[str, Mapping[str, str]], Tree],
        *,
        running: bool,
    ) -> None:
        self.running = running
        self._ask = ask
        self._order = order

    def ask(self, name: str, /, **said: str) -> Tree:
        return self._ask(name, said)

    def order(self, name: str, /, **said: str) -> Tree:
        return self._order(name, said)


@contextmanager
def connected(settings: Settings) -> Iterator[Line]:
    """The server is found by its lock on the store. Raises CannotAsk, StoreError."""
    names = Names(settings.sites, settings.default)
    core = settings.core
    limits = Limits(core.max_size, core.ttl, core.evict)
    if not settings.root.is_dir():
        raise CannotAsk(f"there is no store at {settings.root}")
    try:
        with open_at_rest(core, settings.root) as cache:
            api = Api(cache, names, limits)
            yield Line(api.ask, api.order, running=False)
    except StoreLocked:
        if settings.debug is None:
            raise CannotAsk(
                "a server runs on this store; give it http.debug.addr, so that it can be asked"
            ) from None
        yield _remote(settings)


def _remote(settings: Settings) -> Line:
    assert settings.debug is not None
    base = f"http://{settings.debug.authority}/api/v1/"
    secret = key.read(settings.root)

    # Not at the top: it brings event loops, which most commands need not load.
    import httpcore

    def call(method: str, name: str, said: Mapping[str, str]) -> Tree:
        headers: dict[bytes | str, bytes | str] = {}
        if method == "POST" and secret:
            headers["Authorization"] = f"Bearer {secret}"
        url = f"{base}{name}?{urlencode(said)}"
        limits = {"connect": TIMEOUT, "read": TIMEOUT, "write": TIMEOUT}
        try:
            answer = httpcore.request(method, url, headers=headers, extensions={"timeout": limits})
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            why = str(error) or type(error).__name__
            raise CannotAsk(
                f"the server's debug listener at {base} cannot be asked: {why}"
            ) from None
        tree = _object(answer.content)
        if answer.status == 401:
            where = settings.root / key.NAME
            raise CannotAsk(
                f"orders need the key in {where}, which only the server's user can read"
            )
        if tree is None or (answer.status != 200 and "error" not in tree):
            raise CannotAsk(
                f"{base} does not answer as this cache's debug listener: {answer.status}"
            )
        if answer.status != 200:
            raise Wrong(answer.status, str(tree["error"]))
        return tree

    return Line(lambda n, s: call("GET", n, s), lambda n, s: call("POST", n, s), running=True)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        tree = json.loads(body)
    except ValueError:
        return None
    return tree if isinstance(tree, dict) else None
