"""A registry that exists for one test: it holds what it is given, fails as it is told to, keeps
what it was asked, and finds fault with requests that no good client sends.

It runs in threads of its own, so it serves a test of any kind, synchronous or not.
"""

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from .images import Blob, Manifest
from .rules import Cut, Failure, Hold, Rule
from .serving import HOST, Plan, Server
from .shelves import Images, Request, Shelves, faults

RuleT = TypeVar("RuleT", bound=Rule)

EVERYTHING = "*"


class WrongRequests(AssertionError):
    """Upstream was asked what no client of a registry should ask. `faults`: one line each."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(("upstream was asked wrongly:", *self.faults)))


class Upstream:
    """A scripted registry on a loopback port that stays the same. It listens between `start`
    and `stop`, or within its `with` block, whose end raises `WrongRequests` if there are any.

    Patterns choose requests by their path: `*` is any, `*/blobs/*` is any blob, and
    `/v2/library/alpine/manifests/3` is one tag. Of several rules of one kind that fit, the
    youngest applies. Methods may be called from any thread and block only for moments."""

    def __init__(self, images: Images | None = None) -> None:
        self._change = threading.Condition(threading.RLock())
        self._shelves = Shelves()
        self._rules: list[Rule] = []
        self._requests: list[Request] = []
        self._faults: list[str] = []
        self._server: Server | None = None
        self._port = 0
        for repository, tags in (images or {}).items():
            for tag, manifest in tags.items():
                self.push(repository, manifest, tag)

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`; the port is known from the first `start` on."""
        return f"{HOST}:{self._port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def requests(self) -> tuple[Request, ...]:
        """Everything that was asked since the last `forget`, in order."""
        with self._change:
            return tuple(self._requests)

    def forget(self) -> None:
        """Begin `requests` anew."""
        with self._change:
            self._requests.clear()

    def start(self) -> None:
        """Listen. OSError: someone else has taken the port since `stop`."""
        if self._server is None:
            self._server = Server(self._port, self._plan, self._complain)
            self._port = self._server.port

    def stop(self) -> None:
        """Refuse connections and break those there are, as a registry that went down."""
        if self._server is not None:
            self._server.close(self._wake)
            self._server = None

    def push(self, repository: str, content: Manifest | Blob, tag: str | None = None) -> None:
        """Hold `content` and all it names, under `tag` if there is one. ValueError: such a name
        or tag cannot be."""
        with self._change:
            self._shelves.put(repository, content, tag)

    def move_tag(self, repository: str, tag: str, content: Manifest) -> None:
        """Let a tag name something else. KeyError: there is no such tag."""
        with self._change:
            self._shelves.tagged(repository, tag)
            self._shelves.put(repository, content, tag)

    def remove_tag(self, repository: str, tag: str) -> None:
        """What the tag named stays. KeyError: there is no such tag."""
        with self._change:
            self._shelves.untag(repository, tag)

    def fail(
        self,
        path: str = EVERYTHING,
        *,
        status: int = 503,
        retry_after: int | None = None,
        times: int | None = None,
    ) -> Failure:
        """Answer with an error, the next `times` times or until the rule ends. `retry_after`:
        seconds in Retry-After."""
        rule = Failure(
            path, change=self._change, left=times, status=status, retry_after=retry_after
        )
        return self._add(rule)

    def cut(
        self, path: str = EVERYTHING, *, after: int | None = None, times: int | None = None
    ) -> Cut:
        """Break the connection without a head, or `after` so many bytes of the body, the last
        byte never included."""
        return self._add(Cut(path, change=self._change, left=times, after=after))

    def hold(self, path: str = EVERYTHING, *, after: int | None = None) -> Hold:
        """Let requests wait until the rule ends: without a head, or with the head and `after`
        so many bytes of the body sent."""
        return self._add(Hold(path, change=self._change, after=after))

    def check(self) -> None:
        """Raises WrongRequests if there were any."""
        with self._change:
            if self._faults:
                raise WrongRequests(self._faults)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        try:
            self.check()
        except WrongRequests as wrong:
            if error is None:
                raise
            error.add_note(str(wrong))

    def _add(self, rule: RuleT) -> RuleT:
        with self._change:
            self._rules.insert(0, rule)
        return rule

    def _plan(self, request: Request) -> Plan:
        with self._change:
            self._requests.append(request)
            for fault in faults(request, self.host):
                self._complain(request, fault)
            holds = [r for r in self._rules if isinstance(r, Hold) and r.take(request)]
            failing = (r for r in self._rules if isinstance(r, Failure | Cut) and r.take(request))
            rule = next(failing, None)
            if isinstance(rule, Failure):
                return Plan(rule.answer(), holds, None)
            return Plan(self._shelves.answer(request), holds, rule)

    def _complain(self, request: Request | None, fault: str) -> None:
        with self._change:
            self._faults.append(f"{request or 'something that is no HTTP request'}: {fault}")

    def _wake(self) -> None:
        with self._change:
            self._change.notify_all()
