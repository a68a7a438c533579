"""A pull-through cache over a scripted upstream, for tests of code that pulls images."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from attrs import evolve, frozen

from ..core.config import Limits
from ..embedding import Config
from ..settings import Settings
from .aside import aside
from .runtimes import RUNTIMES, Runtime, RuntimeName, running_cache
from .shelves import Images
from .upstream import Upstream

IMPATIENT = Limits(backoff=0.01, backoff_max=0.01)
"""As often tried again as ever, but no test has to wait for it."""


@frozen
class Policy:
    """How the cache treats upstream (docs/configuration.md); seconds. As it is, upstream is asked
    about a tag at every pull, and again for what it did not have."""

    tag_ttl: float = 0.0
    stale_if_error: float = 720 * 3600.0
    negative_ttl: float = 0.0


class LocalRegistry:
    """Made by `local_registry`; runs within its `with` or `async with` block."""

    def __init__(self, images: Images | None, policy: Policy, runtime: Runtime) -> None:
        self.upstream = Upstream(images)
        self._runtime = runtime
        self._policy = policy
        self._url = ""
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`: the cache's, which is what clients are given."""
        return self._url

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as it stands in front of an image's name."""
        return self._url.removeprefix("http://")

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.upstream)
            root = stack.enter_context(TemporaryDirectory(prefix="distcache-"))
            settings = settings_of(Path(root), self.upstream.url, self._policy)
            self._url = stack.enter_context(running_cache(settings, self._runtime))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        try:
            return await aside(self.__enter__)
        except BaseException:
            await aside(self._stack.close)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await aside(lambda: self.__exit__(kind, error, trace))


def local_registry(
    images: Images | None = None, *, policy: Policy = Policy(), runtime: RuntimeName = "asyncio"
) -> LocalRegistry:
    """A real cache on a free loopback port, with an empty store, over an upstream in memory that
    holds `images` (by repository, then tag):

        with local_registry({"library/alpine": {"3": image([{"etc/hello": b"hi"}])}}) as registry:
            pull(f"{registry.host}/library/alpine:3")

    The same with `async with`, under trio and asyncio; the cache runs in a thread of its own
    either way. Leaving the block cuts what is still on its way and waits for everything that
    runs. It raises `WrongRequests` when the cache asked upstream for what no good client would.
    `policy`: how the cache treats upstream. `runtime`: what the cache runs on, whatever the test
    does; trio keeps idle threads for a few seconds afterwards. OSError: it cannot listen, or has
    no place for its store."""
    return LocalRegistry(images, policy, RUNTIMES[runtime])


def settings_of(root: Path, upstream: str, policy: Policy) -> Settings:
    # A single upstream given by its URL also answers for Docker Hub, as a registry's mirror does.
    settings = Config(
        store=root,
        upstreams={},
        tag_ttl=policy.tag_ttl,
        stale_if_error=policy.stale_if_error,
        negative_ttl=policy.negative_ttl,
        drain=0,
        more={"proxy": {"remoteurl": upstream}},
    ).settings()
    return evolve(settings, core=evolve(settings.core, limits=IMPATIENT))
