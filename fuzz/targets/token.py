"""Whatever a token service answers, it is a token that may stand in a header and has a life
within bounds, or a refusal that says why.

The first byte chooses the status, the first line after it is Retry-After, the rest the body.
"""

from distcache.core.events import Cause, Secret
from distcache.wire import challenge
from distcache.wire.headers import LONGEST_DELAY, sendable

WORDS = (
    b'{"token":"abc"}',
    b'"access_token":',
    b'"expires_in":300',
    b'"expires_in":-1',
    b"1e400",
    b"Infinity",
    b"true",
    b"null",
    b"Wed, 21 Oct 2015 07:28:00 GMT",
    b"120",
)
STATUSES = (200, 200, 401, 403, 429, 500, 204, 302)
NOW = 1_800_000_000.0


def one_input(data: bytes) -> None:
    status = STATUSES[(data[:1] or b"\0")[0] % len(STATUSES)]
    after, _, body = data[1:].partition(b"\n")
    headers = [(b"retry-after", after)] if after else []
    said = challenge.token_answer(status, headers, body, NOW)
    assert challenge.token_answer(status, headers, body, NOW) == said
    match said:
        case challenge.Grant(token, expires_in):
            assert status == 200
            assert sendable(f"Bearer {token.value}")
            assert " " not in token.value
            assert 1 <= expires_in <= challenge.LONGEST_LIFE, said
            assert repr(token) == repr(Secret("another")), "a token is shown"
        case challenge.Refusal(None, cause, None):
            assert (status, cause) == (200, Cause.CUT), said
        case challenge.Refusal(refused, None, delay):
            assert refused == status != 200, said
            assert delay is None or 0 <= delay <= LONGEST_DELAY, said
        case _:
            raise AssertionError(said)
