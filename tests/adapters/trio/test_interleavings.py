"""Clients, upstream and operator in any order: whatever happens when, everything begun ends
once, nobody is sent a wrong byte, and the next pull works.

The trio scheduler is seeded by hypothesis (pytest-trio), so that a failing order is found again,
and the clock jumps to the next deadline when everybody waits.
"""

import random
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.adapters import fake_upstream as fake
from tests.adapters.client import Client, Torn

from .bench import Bench, bench
from .clock import jumping

BODY = random.Random(5).randbytes(400_000)

pytestmark = pytest.mark.trio

ASKS = st.tuples(st.just("ask"), st.integers(0, 2), st.sampled_from(["GET", "HEAD", "part"]))
LEAVES = st.tuples(st.just("leave"), st.integers(0, 2), st.just(""))
WAITS = st.tuples(st.sampled_from(["quiet", "later", "go", "cut"]), st.just(0), st.just(""))
STEPS = st.lists(ASKS | ASKS | LEAVES | WAITS, max_size=12)
LATER = 7.0
"""Seconds: longer than the core's back-off, shorter than an upstream's patience."""


class Play:
    """One sequence of steps, against an upstream that stops half-way each time until it is told
    to go on or to cut."""

    def __init__(self, b: Bench, nursery: trio.Nursery) -> None:
        self.b = b
        self.nursery = nursery
        self.clients: dict[int, Client] = {}
        self.go = trio.Event()
        self.cuts = 0
        self.path = b.upstream.blob("a/img", BODY, self.script)

    async def script(self, stream: trio.SocketStream, asked: fake.Asked) -> None:
        then = self.cut if self.cuts else self.rest
        half = len(BODY) // 2
        if asked.method == "HEAD" or "range" in asked.headers:
            await fake.whole(BODY)(stream, asked)
        else:
            await fake.until(BODY, half, fake.after(self.go, then))(stream, asked)

    async def cut(self, stream: trio.SocketStream, asked: fake.Asked) -> None:
        self.cuts -= 1
        await fake.cut(stream, asked)

    async def rest(self, stream: trio.SocketStream, asked: fake.Asked) -> None:
        await fake.rest(BODY, len(BODY) // 2)(stream, asked)

    async def act(self, what: str, who: int, how: str) -> None:
        if what == "ask":
            await self.leave(who)
            client = self.clients[who] = await self.b.connect()
            fields = ["Range: bytes=1000-300000"] if how == "part" else []
            method = "HEAD" if how == "HEAD" else "GET"
            await client.ask(self.path, method, *fields)
            self.nursery.start_soon(self.check, client, how)
        elif what == "leave":
            await self.leave(who)
        elif what == "go":
            self.go.set()
        elif what == "cut":
            self.cuts = 1
            self.go.set()
        elif what == "quiet":
            await trio.testing.wait_all_tasks_blocked()
        else:
            await trio.sleep(LATER)

    async def leave(self, who: int) -> None:
        client = self.clients.pop(who, None)
        if client is not None:
            await client.stream.aclose()

    async def check(self, client: Client, how: str) -> None:
        """What the client gets is right, as far as it gets it."""
        try:
            answer = await client.answer("HEAD" if how == "HEAD" else "GET")
        except (Torn, trio.ClosedResourceError):
            return
        whole = {"GET": BODY, "part": BODY[1000:300001], "HEAD": b""}[how]
        assert answer.status in (200, 206), answer
        assert answer.body == whole


@given(steps=STEPS, drain=st.sampled_from([None, 0.0]))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_any_order_of_events_ends_well(
    mock_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[str, int, str]],
    drain: float | None,
) -> None:
    with tempfile.TemporaryDirectory() as place, monkeypatch.context() as patch:
        async with (
            jumping(mock_clock, patch),
            bench(Path(place), patch) as b,
            trio.open_nursery() as nursery,
        ):
            play = Play(b, nursery)
            for step in steps:
                await play.act(*step)
            play.go.set()
            play.cuts = 0
            assert (await b.get(play.path)).body == BODY
            b.server.stop(drain=drain)
            for who in list(play.clients):
                await play.leave(who)


@given(st.integers(0, 60))
@settings(max_examples=25, deadline=None)
async def test_a_stop_at_any_step_of_a_cold_pull_ends_what_was_begun(when: int) -> None:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        async with bench(Path(place), patch) as b:
            path = b.upstream.blob("a/img", BODY)
            client = await b.connect()
            await client.ask(path)
            for _ in range(when):
                await trio.lowlevel.checkpoint()
            b.server.stop(drain=0)
            with suppress(Torn):
                assert (await client.answer()).body == BODY
            await client.stream.aclose()
