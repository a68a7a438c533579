"""What a server's connections have in common."""

from collections.abc import Callable

from attrs import define, field

from .. import log
from ..access import Gate, Rules
from ..settings import HttpTimeouts, Level
from .certificates import Certificates
from .checks import Checks
from .driver import Driver
from .listening import Crowd
from .reading import Readings, Routes
from .shortcut import Shortcut
from .streaming import Streaming
from .telling import Line, OnDecision
from .tracing import Tracing


@define(eq=False)
class Service:
    """What connections work with. `time` is the loop's clock. `router`, `timeouts`, `gate`,
    `certificates` (None: plain HTTP is spoken) and `crowd` may be changed while they run;
    `draining`: an answer is the last one on its connection."""

    driver: Driver
    router: Routes
    timeouts: HttpTimeouts
    time: Callable[[], float]
    on_decision: OnDecision | None = None
    gate: Gate = field(factory=lambda: Gate(Rules(""), report))
    certificates: Certificates | None = None
    crowd: Crowd = field(factory=Crowd)
    tracing: Tracing | None = None
    draining: bool = False
    silent: bool = False
    """Nothing of it goes to the access log."""
    under_way: set[Line] = field(factory=set, init=False)
    """Pulls that are being answered, but for hits that leave at once (`shortcut`, `streaming`)."""
    checks: Checks = field(init=False)
    readings: Readings = field(init=False)
    shortcut: Shortcut = field(init=False)
    streaming: Streaming = field(init=False)

    @property
    def listened_to(self) -> bool:
        """Somebody is told of answered requests."""
        return self.on_decision is not None or (not self.silent and log.access_wanted())

    def __attrs_post_init__(self) -> None:
        self.shortcut = Shortcut(self)
        self.streaming = Streaming(self)
        self.readings = Readings(self.driver.fetches.name)
        self.checks = Checks(self.driver.run_job)


def report(message: str, fields: dict[str, str]) -> None:
    """What gates and sources of credentials have to say to the operator; from any thread."""
    log.note(Level.WARN, message, dict(fields))
