"""What a source of credentials says, and how one is asked."""

from collections.abc import Callable
from typing import Protocol

from attrs import frozen

from ..wire.outgoing import Login


@frozen
class Known:
    """The login to show; None: upstream is asked as a stranger."""

    login: Login | None


@frozen
class Failed:
    """There should be a login and it cannot be had: better no request than one as a stranger,
    which upstream would deny. `why` holds nothing secret."""

    why: str


@frozen
class Ask:
    """`job` blocks; it may be called in any thread and never raises."""

    job: Callable[[], Known | Failed]


class CredentialSource(Protocol):
    def current(self, now: float) -> Known | Failed | Ask:
        """What to show upstream at `now` (seconds, from a clock that does not step back), for
        one request. Never blocks."""


class Fixed:
    """A login that never changes."""

    def __init__(self, login: Login) -> None:
        self._known = Known(login)

    def current(self, now: float) -> Known:
        return self._known
