"""The core's `AnswerHead` as an HTTP answer: status, headers, and the body where it is a JSON
text that only the wire can write (errors, the catalog, lists of tags).

Sources: OCI distribution-spec 1.1; RFC 9110; RFC 9211 (Cache-Status). A 401 carries a
WWW-Authenticate only where the client itself can log in at upstream: else it tells of
upstream's refusal of our own login, and there is none here to ask for.
"""

from attrs import frozen

from ..core.decision import Decision, Fwd, Outcome
from ..core.effects import AnswerHead
from ..core.oci import Kind, ReferrersRef, TagsRef
from ..core.pull import ByDigest, Catalog, Ping, Pull
from . import urls
from .authority import handed_on
from .headers import http_date, sendable
from .oci_json import JSON, catalog_body, error_body, tags_body
from .replies import PING, Reply

Fields = list[tuple[str, str]]

_WHOLE_OR_PART = (200, 206)


@frozen
class Answer:
    """`body` None: the caller sends the body, of the length that the headers say. Else it is
    here, whole; on HEAD it is not sent but counted."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None = None


def answer(head: AnswerHead, pull: Pull, target: str, now: float) -> Answer:
    """`target` is the request's own, in origin-form: clients are sent back to the path that
    they came by. A value that cannot stand in a header is left out with its field."""
    body = _body(head, pull)
    length = head.length if body is None else len(body)
    fields = _common(now)
    if length is not None and head.status != 304:
        fields.append(("Content-Length", str(length)))
    fields += _content(head, pull, target)
    fields += _listing(head, pull, target)
    fields += _caching(head)
    if body is not None:
        fields.append(("Content-Type", JSON))
    if pull.namespace is not None:
        fields.append(("OCI-Namespace", pull.namespace))
    return Answer(head.status, _encode(fields), body)


def reply(said: Reply, now: float) -> Answer:
    fields = _common(now)
    fields.append(("Content-Length", str(len(said.body))))
    if said.content_type is not None:
        fields.append(("Content-Type", said.content_type))
    fields += said.headers
    return Answer(said.status, _encode(fields), said.body)


def cache_status(decision: Decision) -> str:
    """RFC 9211 §2, the parameters in its order."""
    parts = ["distcache"]
    if decision.outcome is Outcome.HIT:
        parts.append("hit")
    else:
        parts.append(f"fwd={(decision.fwd or Fwd.URI_MISS).value}")
    if decision.fwd_status is not None:
        parts.append(f"fwd-status={decision.fwd_status}")
    if decision.ttl is not None:
        parts.append(f"ttl={decision.ttl}")
    if decision.stored:
        parts.append("stored")
    if decision.collapsed:
        parts.append("collapsed")
    if decision.stale_if_error:
        parts.append("detail=stale-if-error")
    elif decision.cooling:
        parts.append("detail=cool-down")
    return "; ".join(parts)


def _body(head: AnswerHead, pull: Pull) -> bytes | None:
    if head.problem is not None:
        return error_body(head.problem.code, head.problem.message)
    if isinstance(pull.target, Ping):
        return PING.body
    if head.tags is not None and isinstance(pull.target, TagsRef):
        return tags_body(pull.target.repository.name, head.tags)
    return None if head.repositories is None else catalog_body(head.repositories)


def _common(now: float) -> Fields:
    return [
        # Old docker clients look for it before they speak version 2; on 401 too.
        ("Docker-Distribution-Api-Version", "registry/2.0"),
        ("Date", http_date(now)),
        ("X-Content-Type-Options", "nosniff"),
    ]


def _content(head: AnswerHead, pull: Pull, target: str) -> Fields:
    fields: Fields = []
    described = head.descriptor
    if described is not None:
        digest = described.content.digest
        fields += [("Docker-Content-Digest", digest), ("ETag", f'"{digest}"')]
        if head.status in _WHOLE_OR_PART:
            fields.append(("Content-Type", described.media_type))
    if head.status == 206 and head.span is not None:
        size = "*" if head.size is None else head.size
        last = head.span.stop - 1
        fields.append(("Content-Range", f"bytes {head.span.start}-{last}/{size}"))
    if head.status == 416 and head.size is not None:
        fields.append(("Content-Range", f"bytes */{head.size}"))
    blob = isinstance(pull.target, ByDigest) and pull.target.content.kind is Kind.BLOB
    if blob and head.status in _WHOLE_OR_PART:
        # ollama takes Location from the answer even when it is no redirect.
        fields += [("Accept-Ranges", "bytes"), ("Location", target)]
    return fields


def _listing(head: AnswerHead, pull: Pull, target: str) -> Fields:
    fields: Fields = []
    if head.listed is not None and head.listed.filters is not None:
        fields.append(("OCI-Filters-Applied", head.listed.filters))
    query = _next_page(head, pull)
    if query:
        if pull.namespace is not None:
            query += f"&{urls.query(ns=pull.namespace)}"
        fields.append(("Link", f'<{target.partition("?")[0]}?{query}>; rel="next"'))
    return fields


def _next_page(head: AnswerHead, pull: Pull) -> str:
    """The query string of the page that follows, empty without one."""
    asked = pull.target
    if isinstance(asked, ReferrersRef) and head.listed is not None:
        rest = urls.query_without(head.listed.next_page or "", "artifactType", "ns")
        if rest and asked.artifact_type is not None:
            rest = f"{urls.query(artifactType=asked.artifact_type)}&{rest}"
        return rest
    if not head.more:
        return ""
    if isinstance(asked, Catalog) and head.repositories:
        n = asked.n if asked.n is not None else len(head.repositories)
        return urls.query(n=str(n), last=max(head.repositories))
    if head.tags:
        return urls.query(n=str(len(head.tags)), last=head.tags[-1])
    return ""


def _caching(head: AnswerHead) -> Fields:
    fields: Fields = [("Cache-Status", cache_status(head.decision))]
    if head.age is not None:
        fields.append(("Age", str(max(head.age, 0))))
    if head.problem is not None and head.problem.retry_after is not None:
        fields.append(("Retry-After", str(head.problem.retry_after)))
    if head.problem is not None and head.problem.challenge is not None:
        fields.append(("WWW-Authenticate", handed_on(head.problem.challenge)))
    return fields


def _encode(fields: Fields) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((n.encode(), v.encode()) for n, v in fields if sendable(v))
