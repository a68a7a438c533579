"""What is asked of upstreams: who is asked, with which login, for whom, and what is under way.

Nothing here awaits: a transfer begins when the login that it takes is known, and is then the
adapter's until it has ended.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from attrs import evolve

from .. import log, settings
from ..core.effects import AcquireToken, Fetch, Forwarded, UpstreamRequest
from ..core.events import Cause, Event, FetchFailed, PullRequested, TokenRefused
from ..core.oci import Repository
from ..credentials import Ask, Failed, IdentityToken, Known
from ..store import Store
from ..wire import challenge, upstream
from ..wire.memo import Memo, common
from ..wire.outgoing import Credentials, HttpRequest
from ..wire.sites import UpstreamSite
from .asking import FIELD, Askers, new_id
from .clock import Clock
from .exchange import Exchange
from .ports import Shell, Upstreams
from .sources import Spools
from .tracing import TraceSpan, Tracing, begin_fetch
from .transfers import TokenCall, Transfer

CHAINS = 1024
"""Repositories for which it is remembered through which other caches they were asked for."""

REQUESTS = 512
"""Requests that are remembered as they were made; a tag's check is the same each time."""


class Fetches:
    """`name` is how it calls itself to upstreams (Via, RFC 9110 §7.6.3): what comes back to it by
    that name goes in a circle. `exchanges`: all that are open, by number."""

    def __init__(
        self,
        store: Store,
        upstreams: Upstreams,
        clock: Clock,
        shell: Shell,
        spools: Spools,
        exchanges: Mapping[int, Exchange],
        feed: Callable[[Event], None],
        tracing: Tracing | None,
    ) -> None:
        self.upstreams = upstreams
        self.name = f"distcache-{secrets.token_hex(8)}"
        self.on_transfer: Callable[[Transfer], None] | None = None
        """Called for each that has ended."""
        self._store = store
        self._clock = clock
        self._shell = shell
        self._spools = spools
        self._exchanges = exchanges
        self._feed = feed
        self._tracing = tracing
        self._transfers: dict[int, Transfer] = {}
        self._asking: set[int] = set()
        self._chains: Memo[Repository, str] = Memo(CHAINS)
        self._requests: Memo[_Asked, HttpRequest] = Memo(REQUESTS)
        self._askers = Askers()

    def running(self) -> Iterable[Transfer]:
        """What is under way now."""
        return self._transfers.values()

    def came_by(self, repository: Repository, via: str) -> None:
        """A pull of it came through those caches: upstream will be told."""
        self._chains.put(repository, via)

    def fetch(self, effect: Fetch, because: Event) -> None:
        """It ends in a `FetchEnded` or `FetchFailed`. `because`: the event that led to it."""
        asker = self._asker(effect, because)
        asked = effect.request
        if asked.authorization is True and asked.mirror is None:
            self._asking.add(effect.fetch)
            self._find_login(asked.repository.upstream, partial(self._fetch_as, effect, asker))
        else:
            self._start(effect, asker, None)

    def cancel(self, number: int) -> None:
        """The core wants nothing more of this fetch; it may have ended."""
        if (transfer := self._transfers.get(number)) is not None:
            transfer.cancel()
        elif number in self._asking:
            self._asking.discard(number)
            self._feed(FetchFailed(number, Cause.CANCELLED))

    def acquire_token(self, effect: AcquireToken) -> None:
        """It ends in a `TokenGranted` or `TokenRefused`."""
        if effect.mirror is None:
            self._find_login(effect.upstream, partial(self._acquire_as, effect))
        else:
            self._acquire_as(effect, Known(None))

    def _asker(self, effect: Fetch, event: Event) -> Exchange | None:
        number = event.exchange if isinstance(event, PullRequested) else None
        before = self._transfers.get(getattr(event, "fetch", -1))
        if before is not None and before.asker is not None:
            number = before.asker.number
        return self._askers.of(effect.request, number, self._exchanges)

    def _find_login(self, key: str, then: Callable[[Known | Failed], None]) -> None:
        said = self.upstreams.login(key, self._clock.now())
        if isinstance(said, Ask):
            self._shell.run_job(said.job, then)
        else:
            then(said)

    def _fetch_as(self, effect: Fetch, asker: Exchange | None, said: Known | Failed) -> None:
        if effect.fetch not in self._asking:
            return  # cancelled, and told so
        self._asking.discard(effect.fetch)
        if isinstance(said, Known) and isinstance(said.login, IdentityToken):
            said = Failed("an identity token is of use to a token service only")
        if isinstance(said, Failed):
            _note_failed(effect.request.repository.upstream, said)
            self._feed(FetchFailed(effect.fetch, Cause.REFUSED))
        else:
            assert not isinstance(said.login, IdentityToken)
            self._start(effect, asker, said.login)

    def _start(self, effect: Fetch, asker: Exchange | None, login: Credentials | None) -> None:
        asked = effect.request
        key = asked.repository.upstream
        try:
            site = self.upstreams.place(key, asked.mirror)
            sent = self._signed(self._request(site, asked, login), asked, asker)
            span, sent = self._traced(sent, asked, asker)
        except Exception as error:
            # A request that must not be sent, above all one that would show a secret.
            log.failure("a request to upstream could not be made", error)
            self._feed(FetchFailed(effect.fetch, Cause.REFUSED))
            return
        spool = None if effect.spool is None else self._spools.open(effect.spool).use()
        transfer = Transfer(
            effect.fetch,
            site,
            sent,
            self.upstreams.patience(key, asked.mirror),
            spool,
            asked,
            self._store,
            self._feed,
            self._clock.now,
            self._transferred,
            asker,
            span,
        )
        self._transfers[effect.fetch] = transfer
        self._shell.start_fetch(transfer)

    def _request(
        self, site: UpstreamSite, asked: UpstreamRequest, login: Credentials | None
    ) -> HttpRequest:
        key = (site, asked, login)
        sent = self._requests.get(key)
        if sent is None:
            sent = upstream.request(site, asked, login)
            # A client's own login is not held on to.
            known = not isinstance(asked.authorization, Forwarded)
            if known and common(sent.url.target.encode(), sent.headers):
                self._requests.put(key, sent)
        return sent

    def _transferred(self, transfer: Transfer) -> None:
        del self._transfers[transfer.fetch]
        transfer.traced()
        if self.on_transfer is not None:
            self.on_transfer(transfer)

    def _traced(
        self, sent: HttpRequest, asked: UpstreamRequest, asker: Exchange | None
    ) -> tuple[TraceSpan | None, HttpRequest]:
        if self._tracing is None:
            return None, sent
        because = None if asker is None or asker.asker is None else asker.asker.span
        told = asked.location is None or asked.location.same_origin
        key = asked.repository.upstream
        return begin_fetch(self._tracing, key, sent, because, told=told)

    def _signed(
        self, sent: HttpRequest, asked: UpstreamRequest, asker: Exchange | None
    ) -> HttpRequest:
        chain = self._chains.get(asked.repository)
        own = f"1.1 {self.name}"
        via = (b"Via", (f"{chain}, {own}" if chain else own).encode())
        if asked.location is not None and not asked.location.same_origin:
            # The id is for a registry's log; a storage service signs what it is sent.
            return evolve(sent, headers=(*sent.headers, via))
        name = new_id() if asker is None or asker.asker is None else asker.asker.name
        return evolve(sent, headers=(*sent.headers, via, (FIELD, name.encode())))

    def _acquire_as(self, effect: AcquireToken, said: Known | Failed) -> None:
        if isinstance(said, Failed):
            _note_failed(effect.upstream, said)
            self._feed(TokenRefused(effect.request, None, Cause.REFUSED))
            return
        try:
            site = self.upstreams.place(effect.upstream, effect.mirror)
        except IndexError:  # a mirror that the configuration has no more
            self._feed(TokenRefused(effect.request, None, Cause.REFUSED))
            return
        sent = challenge.token_request(effect.challenge, said.login)
        timeouts = self.upstreams.patience(effect.upstream, effect.mirror)
        call = TokenCall(effect.request, site, sent, timeouts, self._feed, self._clock.now)
        self._shell.start_token(call)


_Asked = tuple[UpstreamSite, UpstreamRequest, Credentials | None]


def _note_failed(key: str, said: Failed) -> None:
    fields: dict[str, log.Value] = {"upstream": key, "error": said.why}
    log.note(settings.Level.WARN, "no login for upstream can be had", fields)
