"""What an HTTP client that is not ours makes of an answer's bytes."""

import h11
from attrs import frozen


@frozen
class Answer:
    """`rest` is what follows the message; `whole`: its end was seen."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    rest: bytes
    whole: bool

    def field(self, name: bytes) -> bytes | None:
        """The only value of a field; two of one name are a defect wherever this is asked."""
        found = [value for n, value in self.headers if n == name]
        assert len(found) < 2, (name, found)
        return found[0] if found else None


def read(out: bytes, method: bytes) -> Answer:
    """Raises h11.RemoteProtocolError for what is no answer to a request with `method`."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(out)
    head, body = client.next_event(), b""
    assert isinstance(head, h11.Response), head
    event = client.next_event()
    while isinstance(event, h11.Data):
        body += bytes(event.data)
        event = client.next_event()
    whole = isinstance(event, h11.EndOfMessage)
    rest = client.trailing_data[0] if whole else b""
    return Answer(head.status_code, tuple(head.headers), body, rest, whole)
