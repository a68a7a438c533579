"""An answer as a client sees it, and where two of them differ."""

import contextlib
import http.client
import json
from collections.abc import Iterator

from attrs import define, field, frozen

from tests.differential.scripts import Request
from tests.support.raw import TIMEOUT

FIELDS = (
    "accept-ranges",
    "allow",
    "content-length",
    "content-range",
    "content-type",
    "docker-content-digest",
    "etag",
    "link",
    "location",
    "www-authenticate",
)


@frozen
class Answer:
    """`fields`: those that matter. `whole`: the body is as long as announced."""

    status: int
    fields: dict[str, str]
    body: bytes
    whole: bool

    @property
    def codes(self) -> list[str] | None:
        """Of the errors in the body; None: it is no document of errors."""
        try:
            return [str(one["code"]) for one in json.loads(self.body)["errors"]]
        except (ValueError, TypeError, KeyError):
            return None


@define(eq=False)
class Client:
    """On one connection (`kept`) or one for each request."""

    port: int
    kept: bool
    connection: http.client.HTTPConnection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)

    def ask(self, request: Request) -> Answer:
        self.connection.putrequest(request.method, request.path, skip_accept_encoding=True)
        for name, value in request.headers:
            self.connection.putheader(name, value)
        self.connection.endheaders()
        response = self.connection.getresponse()
        whole = True
        try:
            body = response.read()
        except http.client.IncompleteRead as error:
            body, whole = error.partial, False
        if not (whole and self.kept):
            self.connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        chosen = {name: found[name] for name in FIELDS if name in found}
        return Answer(response.status, chosen, body, whole)


@contextlib.contextmanager
def connected(port: int, *, kept: bool) -> Iterator[Client]:
    client = Client(port, kept)
    with contextlib.closing(client.connection):
        yield client


def differences(ours: Answer, theirs: Answer) -> frozenset[str]:
    """`status`, `body`, `whole` and names of fields. Errors are the same when their codes are:
    their text, and so their length, is each server's own."""
    found = {name for name in FIELDS if ours.fields.get(name) != theirs.fields.get(name)}
    if ours.status != theirs.status:
        found.add("status")
    if ours.whole != theirs.whole:
        found.add("whole")
    if ours.body != theirs.body and (ours.codes is None or ours.codes != theirs.codes):
        found.add("body")
    if ours.status == theirs.status >= 400 and "body" not in found:
        found.discard("content-length")
    return frozenset(found)
