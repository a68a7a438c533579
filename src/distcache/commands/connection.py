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
from .failing import Failed, Trouble

TIMEOUT = 30.0
"""Seconds for an answer of the server."""


class CannotAsk(Failed):
    """Neither the server nor the store can be spoken to."""

    def __init__(self, what: str, where: object, hint: str | None = None) -> None:
        super().__init__([Trouble(what, str(where), hint)], 1)


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


def need_store(settings: Settings) -> None:
    """Raises CannotAsk where no server has been yet."""
    if not settings.root.is_dir():
        raise CannotAsk("there is no store", settings.root, "a server makes it when it starts")


@contextmanager
def connected(settings: Settings) -> Iterator[Line]:
    """The server is found by its lock on the store. Raises CannotAsk, StoreError."""
    names = Names(settings.sites, settings.default)
    core = settings.core
    limits = Limits(core.max_size, core.ttl, core.evict)
    need_store(settings)
    try:
        with open_at_rest(core, settings.root) as cache:
            api = Api(cache, names, limits)
            yield Line(lambda n, s: api.ask(n, s, whole=True), api.order, running=False)
    except StoreLocked:
        if settings.debug is None:
            what, hint = "a server runs on this store", "give it http.debug.addr to be asked at"
            raise CannotAsk(what, settings.root, hint) from None
        yield _remote(settings)


def _remote(settings: Settings) -> Line:
    assert settings.debug is not None
    base = f"http://{settings.debug.authority}/api/v1/"
    secret = key.read(settings.root)

    # Not at the top: it brings event loops, which most commands need not load.
    import httpcore

    def call(method: str, name: str, said: Mapping[str, str]) -> Tree:
        headers: dict[bytes | str, bytes | str] = {}
        if secret and (method == "POST" or name == "why"):
            headers["Authorization"] = f"Bearer {secret}"
        url = f"{base}{name}?{urlencode(said)}"
        limits = {"connect": TIMEOUT, "read": TIMEOUT, "write": TIMEOUT}
        try:
            answer = httpcore.request(method, url, headers=headers, extensions={"timeout": limits})
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            why = str(error) or type(error).__name__
            hint = "is http.debug.addr that of the server that runs?"
            raise CannotAsk(f"the debug listener cannot be asked: {why}", base, hint) from None
        tree = _object(answer.content)
        if answer.status == 401:
            what = "orders need this key, which only the server's user can read"
            raise CannotAsk(what, settings.root / key.NAME)
        if tree is None or (answer.status != 200 and "error" not in tree):
            what = f"{answer.status}: this is not the answer of a cache's debug listener"
            raise CannotAsk(what, base, "is http.debug.addr that of the server that runs?")
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
