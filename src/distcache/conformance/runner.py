"""One run: reach the target, learn what it holds, check, report."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from urllib.parse import unquote, urlsplit

from attrs import converters, field, frozen

from .checks import Check, Failed, Level, Result, Skipped, Target, Verdict
from .client import Client
from .connection import Address, whole_url
from .content import find
from .login import Credentials
from .messages import Broken
from .origin.library import Library, stock
from .origin.server import Origin

EVIDENCE = 4
"""Exchanges that are shown for a failure, at most."""


class Unreachable(Exception):
    """Nothing that speaks HTTP answers there."""


@frozen
class Options:
    """What to check. URLs may carry `user:password@`, and be without a scheme: see `whole_url`,
    whose ValueError a wrong one raises here. `origin` is the host and port on which the
    scripted upstream listens; `seed` makes its content the same again. `patience`: seconds.
    `cacert`: whom to trust besides those whom this system does (PEM)."""

    url: str = field(converter=whole_url)
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None
    credentials: Credentials | None = None
    upstream: str | None = field(default=None, converter=converters.optional(whole_url))
    push: bool = False
    origin: tuple[str, int] | None = None
    seed: str = field(factory=lambda: token_hex(4))
    examples: int = 40
    patience: float = 30.0
    cacert: Path | None = None


def endpoint(text: str) -> tuple[str, int]:
    """`HOST:PORT`, for `Options.origin`; without a host on loopback. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"not HOST:PORT: {text}")
    return host.strip("[]") or "127.0.0.1", int(port)


@frozen
class Report:
    """`results` in the order of the checks."""

    options: Options
    results: tuple[Result, ...]

    @property
    def failed(self) -> bool:
        """Whether a MUST failed."""
        return any(self.counts(Verdict.FAIL, Level.MUST))

    def counts(self, verdict: Verdict, level: Level | None = None) -> list[Result]:
        return [
            one
            for one in self.results
            if one.verdict is verdict and level in (None, one.check.level)
        ]


@contextmanager
def aimed(options: Options) -> Iterator[Target]:
    """The target, reached and looked through. Raises Unreachable; OSError when the scripted
    upstream cannot listen."""
    client = client_of(options, options.url, options.credentials)
    with ExitStack() as stack:
        stack.callback(client.close)
        origin = None
        if options.origin is not None:
            library = Library(options.seed)
            stock(library)
            origin = stack.enter_context(Origin(*options.origin, library))
        upstream = None
        if options.upstream is not None:
            upstream = client_of(options, options.upstream, None)
            stack.callback(upstream.close)
        _reach(client)
        if origin is not None:
            content = origin.library.content()
        else:
            # A cache's own catalog tells only what it holds, at first nothing.
            asked = _reach(upstream or client)
            content = find(asked, options.repository, options.tag, options.digest)
        yield Target(client, content, options.examples, upstream, options.push, origin)


def run(options: Options, checks: Iterable[Check], show: Callable[[Result], None]) -> Report:
    """All of `checks` in order; `show` is called as each has ended. Raises what `aimed` does."""
    results: list[Result] = []
    with aimed(options) as target:
        for check in checks:
            results.append(judge(check, target))
            show(results[-1])
    return Report(options, tuple(results))


def judge(check: Check, target: Target) -> Result:
    """What comes of one check."""
    try:
        check.run(target)
    except Skipped as skipped:
        return Result(check, Verdict.SKIP, str(skipped))
    except Failed as failed:
        shown = tuple(map(str, failed.answers[-EVIDENCE:]))
        return Result(check, Verdict.FAIL, str(failed), shown + _notes(failed))
    except Broken as broken:
        shown = (str(broken.request),) if broken.request else ()
        return Result(check, Verdict.FAIL, str(broken), shown + _notes(broken))
    except OSError as error:
        return Result(check, Verdict.FAIL, f"no connection: {error}")
    return Result(check, Verdict.PASS)


def client_of(options: Options, url: str, credentials: Credentials | None) -> Client:
    """ValueError: not a URL."""
    parts = urlsplit(url)
    if parts.username is not None and credentials is None:
        credentials = Credentials(unquote(parts.username), unquote(parts.password or ""))
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return Client(Address.parse(bare), credentials, options.patience, options.cacert)


def _reach(client: Client) -> Client:
    """Raises Unreachable unless something there speaks HTTP."""
    try:
        client.get("/v2/")
    except (Broken, OSError) as error:
        raise Unreachable(f"{client.address.origin}: {error}") from error
    return client


def _notes(error: BaseException) -> tuple[str, ...]:
    """The example that a property fails for; hypothesis adds it as a note."""
    notes = getattr(error, "__notes__", [])
    return tuple(note for note in notes if note.startswith("for "))
