"""The plainest client: one request, one connection, nothing followed or repeated."""

import http.client
from collections.abc import Mapping

from attrs import frozen


@frozen
class Got:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


def ask(
    host: str,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Got:
    """`host` is `127.0.0.1:PORT`."""
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request(method, path, body, {"Accept": "*/*", **(headers or {})})
        with connection.getresponse() as answer:
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, fields, answer.read())
    finally:
        connection.close()
