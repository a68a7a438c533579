"""The suite's registry client: logs in, follows redirects, keeps a journal of every answer."""

import re
from pathlib import Path
from urllib.parse import urljoin

from attrs import define, evolve, field

from .connection import Address, Connection
from .login import Credentials, authorization
from .messages import Answer, Broken, Ended, Fields, Request

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = ("Accept", ", ".join(MANIFEST_TYPES))
"""What clients of today take."""

_HOPS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_REPOSITORY = re.compile(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)/[^/]+")


@define(eq=False)
class Client:
    """`patience`: seconds without a byte. `cacert`: as for Connection. `journal`: every answer of
    the target itself; bodies are kept where they tell of an error. A client is for one thread;
    `fork` makes one for another."""

    address: Address
    credentials: Credentials | None = None
    patience: float = 30.0
    cacert: Path | None = None
    journal: list[Answer] = field(factory=list)
    _line: Connection | None = field(default=None, init=False)
    _authorizations: dict[str, str] = field(factory=dict)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fork(self) -> "Client":
        """Another client of the same target, with the same journal and rights."""
        return evolve(self)

    def connect(self) -> Connection:
        """A connection of the caller's own. Raises OSError."""
        return Connection(self.address, self.patience, self.cacert)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def get(self, path: str, *fields: tuple[str, str]) -> Answer:
        return self.ask("GET", path, *fields)

    def head(self, path: str, *fields: tuple[str, str]) -> Answer:
        return self.ask("HEAD", path, *fields)

    def ask(self, method: str, path: str, *fields: tuple[str, str]) -> Answer:
        """`path` begins with `/v2/`. The connection is kept from one call to the next. Raises
        Broken, OSError."""
        answer = self._authorized(method, path, fields)
        via: list[Answer] = []
        while answer.status in _REDIRECTS and method in ("GET", "HEAD"):
            location = answer.get("location")
            if location is None or len(via) == _HOPS:
                raise Broken(f"a redirect that leads nowhere: {answer}", answer.request)
            via.append(answer)
            answer = self._follow(answer, location, fields)
        return answer.redirected(tuple(via))

    def request(self, method: str, path: str, *fields: tuple[str, str]) -> Request:
        """As `ask` would send it, for connections of the caller's own."""
        known = self._authorizations.get(_scope(path))
        login = (("Authorization", known),) if known else ()
        return Request(method, self.address.base + path, (*fields, *login))

    def note(self, answer: Answer) -> Answer:
        """Put an answer into the journal; `ask` does it for its own."""
        self.journal.append(answer if answer.status >= 400 else evolve(answer, body=b""))
        return answer

    def _authorized(self, method: str, path: str, fields: Fields) -> Answer:
        answer = self._exchange(self.request(method, path, *fields))
        if answer.status != 401:
            return answer
        login = authorization(answer, self.credentials, self.patience, self.cacert)
        if login is None:
            return answer
        self._authorizations[_scope(path)] = login
        return self._exchange(self.request(method, path, *fields))

    def _exchange(self, request: Request) -> Answer:
        line = self._line if self._line is not None and self._line.open else None
        if line is not None:
            try:
                return self.note(line.ask(request))
            except Ended:
                # A connection may end while it is not used (RFC 9112 §9.5): once more.
                pass
            except Broken:
                self.close()
                raise
        self.close()
        self._line = self.connect()
        try:
            return self.note(self._line.ask(request))
        except Broken:
            self.close()
            raise

    def _follow(self, answer: Answer, location: str, fields: Fields) -> Answer:
        url = urljoin(self.address.origin + answer.request.target, location)
        try:
            address = Address.parse(url)
        except ValueError:
            raise Broken(f"a redirect that leads nowhere: {answer}", answer.request) from None
        target = url.partition("://")[2].partition("/")[2]
        # The host may be another one: credentials stay behind (distribution-spec 1.1, "API").
        request = Request(answer.request.method, f"/{target}", (*fields, ("Connection", "close")))
        with Connection(address, self.patience, self.cacert) as connection:
            return connection.ask(request)


def _scope(path: str) -> str:
    matched = _REPOSITORY.match(path)
    return matched[1] if matched else ""
