"""Sequences of requests, one connection or many, against a model; and bytes that are no request."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import strategies as st

from ..checks import Section, Target, expect, require
from ..connection import Connection
from ..messages import Ended, Request
from .model import Kind, Model, Operation
from .properties import every

sequences = Section("Sequences")

WORKERS = 6
"""Clients at the same time."""

_OPERATIONS = st.builds(
    Operation,
    st.sampled_from(Kind),
    st.booleans(),
    st.integers(0, 5),
    st.integers(0, 3000),
    st.integers(1, 3000),
)


@sequences.must("any-sequence", "RFC 9112 §9.3; RFC 9110 §9.3")
def any_sequence(target: Target) -> None:
    """Any sequence of requests on one connection is answered as a model of the registry
    answers it, whether sent one by one or all at once, in one piece or in many."""
    model = Model(target)
    cuts = st.lists(st.integers(1, 400), max_size=6)

    def holds(chosen: tuple[list[Operation], list[int], bool]) -> None:
        operations, sizes, pipelined = chosen
        asked = [target.client.request(m, p, *f) for m, p, f in map(model.request, operations)]
        with target.client.connect() as connection:
            if pipelined:
                _send(connection, asked, sizes)
            for operation, request in zip(operations, asked, strict=True):
                if not connection.open:
                    return
                if not pipelined:
                    _send(connection, [request], sizes)
                model.judge(operation, target.client.note(connection.read(request)))

    lists = st.lists(_OPERATIONS, min_size=1, max_size=8)
    every(target, st.tuples(lists, cuts, st.booleans()), holds)


@sequences.must("any-concurrency", "RFC 9110 §3.3: requests stand for themselves")
def any_concurrency(target: Target) -> None:
    """Clients at the same time get what each of them asked for."""
    model = Model(target)

    def one_client(operations: list[Operation]) -> None:
        with target.client.fork() as client:
            for operation in operations:
                method, path, fields = model.request(operation)
                model.judge(operation, client.ask(method, path, *fields))

    def holds(clients: list[list[Operation]]) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(one_client, clients))

    lists = st.lists(_OPERATIONS, min_size=1, max_size=5)
    every(target, st.lists(lists, min_size=2, max_size=WORKERS), holds)


@sequences.must("any-bytes", "RFC 9112 §2.2: 400 for what is no request")
def any_bytes(target: Target) -> None:
    """Bytes that are no request are answered with an error or the connection's end; the next
    client is served."""
    words = st.sampled_from(
        (
            b"GET",
            b" ",
            b"/v2/",
            b"HTTP/1.1",
            b"\r\n",
            b"\n",
            b":",
            b"Host",
            b"\x00",
            b"\xff",
            b"\x16",
        )
    )
    data = st.lists(st.one_of(words, st.binary(min_size=1, max_size=8)), min_size=1, max_size=12)

    def holds(parts: list[bytes]) -> None:
        sent = b"".join(parts)
        shown = Request("GET", "?", (("as sent", repr(sent)),))
        with target.client.connect() as connection:
            # Only what the word and version show to be no request: a valid one may be answered.
            connection.send(b"\x00" + sent + b"\r\n\r\n")
            try:
                answer = connection.read(shown)
            except Ended:
                pass
            else:
                require(400 <= answer.status < 600, "an error expected", answer)
        expect(target.client.get("/v2/"), 200)

    every(target, data, holds)


def _send(connection: Connection, requests: list[Request], sizes: list[int]) -> None:
    """All of them, in pieces of these sizes and a last one with the rest."""
    host = connection.address.authority
    data = b"".join(request.encode(host) for request in requests)
    for size in sizes:
        connection.send(data[:size])
        data = data[size:]
    connection.send(data)
