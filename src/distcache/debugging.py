"""The debug listener: what operators see of a running server, on a port of its own.

It is served by the same connections as clients are, with another router, so that limits and
timeouts hold there too. What is counted for it costs a pull a few additions.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from . import log
from .admin import key
from .admin.api import Api, Limits
from .admin.dashboard import Dashboard
from .admin.names import Names
from .admin.recent import Recent
from .admin.site import Site
from .core.cache import Cache
from .core.cooldown import HELD_BACK
from .core.decision import Decision, Outcome
from .core.events import Cause, Event, Pruned
from .core.oci import Content, Digest, ReferrersRef, Repository, TagRef, Time
from .core.policy import MOVED
from .core.pull import Catalog, Pull
from .core.reports import Explanation, Filling, Image, Named, Reach, Stats
from .driver import Decided, Service, Transfer
from .metrics import Gauges, Meter, kind_of
from .settings import Level, Settings
from .wire.headers import Headers
from .wire.replies import Reply


class Debugging:
    """What is counted of a server, and the site that tells it. `connections`: how many clients
    there are. Made before `service` gets its first connection."""

    def __init__(
        self,
        settings: Settings,
        core: Cache,
        service: Service,
        connections: Callable[[], int],
    ) -> None:
        self._core = core
        self._driver = service.driver
        self._under_way = service.under_way
        self._settings = settings
        self._connections = connections
        self._told = service.on_decision
        self._meter = Meter(self._gauges)
        self._recent = Recent(self.now)
        self._names = Names(settings.sites, settings.default)
        self._pulls = self._hits = self._sent = self._received = 0
        self._failing: dict[str, str] = {}
        """Upstreams whose last request got no answer, and why."""
        service.on_decision = self._decided
        service.driver.fetches.on_transfer = self._transferred
        self.service = Service(
            service.driver, _Pages(self._site()), service.timeouts, service.time, silent=True
        )

    def close(self) -> None:
        """The key opens nothing any more."""
        with suppress(OSError):
            (self._settings.root / key.NAME).unlink(missing_ok=True)

    def late(self, seconds: float) -> None:
        """The event loop came so late; to be told every LAG_EVERY seconds."""
        self._meter.late(seconds)

    # What `Api` looks at

    def stats(self) -> Stats:
        return self._core.stats()

    def images(self, latest: int | None = None) -> list[Image]:
        return self._core.images(latest)

    def explain(self, what: Named, repository: Repository) -> Explanation:
        return self._core.explain(what, repository, self.now())

    def knows(self, what: TagRef | Repository | Digest) -> bool:
        return self._core.knows(what)

    def fillings(self) -> list[Filling]:
        return self._core.fillings()

    def reach(self) -> list[Reach]:
        return self._core.reach(self.now())

    def prunable(self, order: Pruned) -> tuple[int, int]:
        return self._core.would_free(order, self.now())

    def feed(self, event: Event) -> None:
        self._driver.feed(event)

    def now(self) -> Time:
        return self._driver.clock.now()

    def _site(self) -> Site:
        settings, policy = self._settings, self._settings.core
        api = Api(self, self._names, Limits(policy.max_size, policy.ttl, policy.evict))
        dashboard = Dashboard(api, self._recent, self._traffic, self._failing, self.now)
        secret = None
        try:
            secret = key.create(settings.root)
        except OSError as error:
            # Without it no orders are taken; all else works.
            log.note(Level.WARN, "no key for orders could be made", {"error": str(error)})
        metrics = None if settings.debug is None else settings.debug.metrics
        return Site(api, self._meter, self._unready, secret, metrics, dashboard.pages())

    def _unready(self) -> str | None:
        return _unwritable(self._settings.root)

    def _gauges(self) -> Gauges:
        stats = self._core.stats()
        quota = {
            one.upstream: (one.remaining, one.limit)
            for one in self.reach()
            if one.remaining is not None and one.limit is not None
        }
        return Gauges(
            stored_bytes=stats.stored_bytes,
            stored_blobs=stats.stored_blobs,
            max_bytes=self._settings.core.max_size,
            fills=stats.fills,
            readers=stats.readers,
            exchanges=stats.exchanges,
            connections=self._connections(),
            evictions=self._driver.deletions,
            evicted_bytes=self._driver.deleted_bytes,
            journal_failures=self._driver.journal_failures,
            quota=quota,
            moved=self._driver.noted[MOVED],
            held_back=self._driver.noted[HELD_BACK],
            sending=self._sending(),
            receiving=self._receiving(),
        )

    def _traffic(self) -> tuple[int, int, int, int]:
        sent = self._sent + sum(sent for *_, sent in self._sending())
        received = self._received + sum(taken for *_, taken in self._receiving())
        return self._pulls, self._hits, sent, received

    def _sending(self) -> list[tuple[Pull, Decision, int]]:
        """A look at each pull under way, when somebody looks: nothing is counted twice for it."""
        return [
            (line.pull, line.head.decision, line.sent)
            for line in self._under_way
            if line.pull is not None and line.head is not None
        ]

    def _receiving(self) -> list[tuple[str, str, int]]:
        running = self._driver.fetches.running()
        return [(one.upstream, one.kind, one.taken) for one in running if one.taken]

    # What happens

    def _decided(self, decided: Decided) -> None:
        pull, decision = decided.pull, decided.decision
        hit = decision.outcome is Outcome.HIT
        self._meter.answered(pull, decision, decided.status, decided.sent, decided.seconds)
        self._pulls += 1
        self._hits += hit
        self._sent += decided.sent
        if not isinstance(pull.target, Catalog):
            name = self._names.write(pull.target.repository)
            self._recent.answered(name, decided.sent, hit=hit)
        if decided.cut:
            self._recent.failed(self._spelt(pull), None, decided.reason)
        elif decided.status >= 400 and not _looked_for(pull, decided.status):
            self._recent.failed(self._spelt(pull), decided.status, decided.reason)
        if self._told is not None:
            self._told(decided)

    def _transferred(self, transfer: Transfer) -> None:
        upstream = transfer.upstream
        self._meter.asked(upstream, transfer.result, transfer.waited)
        if transfer.result in _NO_ANSWER:
            self._failing[upstream] = transfer.result
        elif transfer.result.isdecimal():
            self._failing.pop(upstream, None)
        if transfer.taken:
            self._meter.received(upstream, transfer.kind, transfer.taken)
            self._received += transfer.taken

    def _spelt(self, pull: Pull) -> str:
        target = pull.target
        if isinstance(target, Catalog):
            return "_catalog"
        name = self._names.write(target.repository)
        if isinstance(target, TagRef):
            return f"{name}:{target.tag}"
        content = getattr(target, "content", None)
        if isinstance(content, Content):
            return f"{name}@{content.digest}"
        return f"{name} {kind_of(pull)}"


_NO_ANSWER = {one.value for one in (Cause.UNREACHABLE, Cause.TIMEOUT, Cause.CUT)}

_BESIDE = re.compile(r"sha(256|512)-[0-9a-f]+(\.(sig|att|sbom))?")
"""Tags that clients try, whether or not there is a signature or the like: distribution-spec,
Referrers Tag Schema, and cosign's own."""


def _looked_for(pull: Pull, status: int) -> bool:
    """Whether it is no error that there is none."""
    target = pull.target
    if status != 404 or isinstance(target, ReferrersRef):
        return status == 404
    return isinstance(target, TagRef) and _BESIDE.fullmatch(target.tag) is not None


class _Pages:
    """The site where connections expect a router."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def route(
        self, method: bytes, target: bytes, headers: Headers, http_version: bytes
    ) -> Pull | Reply:
        return self._site.answer(method, target, headers)


def _unwritable(root: Path) -> str | None:
    """Why nothing could be stored, None when it could: a file is made and removed."""
    probe = root / ".ready"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return f"the store cannot be written: {error.strerror}"
    return None
