"""What is done with the insides of httpcore and h11, which have no way of their own for it.

Each looks whether they are what they were; where they are not, there is a way without.
"""

from typing import Any

import h11
import httpcore

LEFT = 64 * 1024
"""Bytes of a body that go through h11 at the least: its end is h11's to see, and what comes
after it, too."""


def surplus(response: httpcore.Response) -> bool:
    """Whether more has come on the connection than the answer, which has been read to its end.
    It would be taken for the answer to the next request there (RFC 9112 §6.3), and so the
    connection must not be used again. When that cannot be seen, there is no second use at all."""
    try:
        return bool(_connection(response).trailing_data[0])
    except AttributeError:
        return True


def unanswered(connection: httpcore.AsyncConnectionInterface) -> bool:
    """Whether nothing of an answer has come since the request that has failed there. When that
    cannot be seen, something has."""
    inner: Any = connection
    try:
        while not hasattr(inner, "_h11_state"):
            inner = inner._connection
        waiting = inner._h11_state.their_state is h11.SEND_RESPONSE
        return waiting and not inner._h11_state.trailing_data[0]
    except AttributeError:
        return False


def alone(connection: httpcore.AsyncConnectionInterface) -> None:
    """Take its locks off: nobody else uses it. Each is a turn of the loop, of which a request
    takes three."""
    inner: Any = connection
    while inner is not None:
        for lock in ("_request_lock", "_state_lock"):
            if hasattr(inner, lock):
                setattr(inner, lock, _UNLOCKED)
        inner = getattr(inner, "_connection", None)


class _Unlocked:
    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


_UNLOCKED = _Unlocked()


class Straight:
    """The part of a body of known length (RFC 9112 §6.2) that may be read from its connection
    directly: through h11 each byte is copied three times."""

    def __init__(self, response: httpcore.Response) -> None:
        self._reader: Any = None
        self._received: Any = None
        try:
            connection = _connection(response)
            reader, received = connection._reader, connection._receive_buffer
            if type(reader).__name__ == "ContentLengthReader" and reader._remaining >= 0:
                self._reader, self._received = reader, received
        except AttributeError:
            pass

    def room(self) -> int:
        """Bytes that may be read so now. 0: the next ones are h11's."""
        if self._reader is None or self._received:
            return 0
        return max(0, int(self._reader._remaining) - LEFT)

    def took(self, count: int) -> None:
        """Bytes that have been read; at most `room`."""
        self._reader._remaining -= count


def _connection(response: httpcore.Response) -> Any:
    """h11's. AttributeError."""
    body: Any = response.stream
    return body._connection._h11_state
