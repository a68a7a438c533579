"""The debug listener's pages: health, metrics, questions and orders. Nothing here waits.

Nothing secret is on any page; orders need the key (`key.py`), and so does who wants to know which
client something was fetched for. No answer may be framed or used by another site's page.
"""

import json
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from ..metrics import CONTENT_TYPE, Meter
from ..wire.headers import Headers, only
from ..wire.oci_json import JSON
from ..wire.replies import Reply
from . import key
from .api import Api, Wrong

PREFIX = "/api/v1/"

Page = Callable[[Mapping[str, str]], Reply]

_SAFE = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)


class Site:
    """`ready` is None, or why the server should get no traffic. `metrics_path` None: no metrics
    are told. `pages` are further ones, by path."""

    def __init__(
        self,
        api: Api,
        meter: Meter,
        ready: Callable[[], str | None],
        secret: str | None,
        metrics_path: str | None,
        pages: Mapping[str, Page],
    ) -> None:
        self._api = api
        self._meter = meter
        self._ready = ready
        self._secret = secret
        self._metrics = metrics_path
        self._pages = pages

    def answer(self, method: bytes, target: bytes, headers: Headers) -> Reply:
        """Total: whatever the bytes, it answers."""
        path, _, query = target.decode("latin-1").partition("?")
        said = dict(parse_qsl(query, keep_blank_values=True))
        if method == b"POST" and path.startswith(PREFIX):
            if not key.shown(only(headers, b"authorization"), self._secret):
                return _text(401, "the store's admin.key is wanted", ("WWW-Authenticate", "Bearer"))
            return self._tell(lambda: self._api.order(path.removeprefix(PREFIX), said))
        if method not in (b"GET", b"HEAD"):
            return _text(405, "GET only", ("Allow", "GET, HEAD"))
        if path.startswith(PREFIX):
            whole = key.shown(only(headers, b"authorization"), self._secret)
            return self._tell(lambda: self._api.ask(path.removeprefix(PREFIX), said, whole=whole))
        if path == "/livez":
            return _text(200, "ok")
        if path in ("/readyz", "/debug/health"):
            return self._health(path)
        if self._metrics is not None and path == self._metrics:
            return Reply(200, self._meter.render(), CONTENT_TYPE, _SAFE)
        if path in self._pages:
            return self._pages[path](said)
        return _text(404, "no such page")

    def _health(self, path: str) -> Reply:
        """`/debug/health` is the registry's: a JSON object of what is wrong."""
        why = self._ready()
        if path == "/readyz":
            return _text(200, "ok") if why is None else _text(503, why)
        body = json.dumps({} if why is None else {"store": why}).encode()
        return Reply(200 if why is None else 503, body, JSON, _SAFE)

    def _tell(self, call: Callable[[], object]) -> Reply:
        try:
            status, tree = 200, call()
        except Wrong as wrong:
            status, tree = wrong.status, {"error": str(wrong)}
        return Reply(status, json.dumps(tree).encode() + b"\n", JSON, _SAFE)


def _text(status: int, text: str, *headers: tuple[str, str]) -> Reply:
    return Reply(status, f"{text}\n".encode(), "text/plain; charset=utf-8", (*_SAFE, *headers))
