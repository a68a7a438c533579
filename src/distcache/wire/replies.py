"""Answers that need no cache."""

from attrs import frozen

from ..core.effects import Code
from . import oci_json


@frozen
class Reply:
    """A complete answer. `close`: the connection does not outlive it."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False


PING = Reply(200, b"{}", oci_json.JSON)
"""What `GET /v2/` is answered. No challenge: clients that meet one on a mirror send it the
credentials of another registry, or leave it."""

ROOT = Reply(200)


def refusal(
    status: int,
    code: Code,
    message: str,
    *headers: tuple[str, str],
    close: bool = False,
) -> Reply:
    """An error answer in OCI JSON."""
    body = oci_json.error_body(code, message)
    return Reply(status, body, oci_json.JSON, headers, close)
