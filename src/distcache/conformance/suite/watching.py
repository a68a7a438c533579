"""What holds of every answer, judged over all that came during the run: this section runs last."""

import re
from email.utils import parsedate_to_datetime

from ..checks import Section, Target, require
from ..messages import Answer
from .errors import KNOWN, LEGACY, codes

watching = Section("Every answer")

SINGLE = (
    "age",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "docker-content-digest",
    "docker-distribution-api-version",
    "etag",
    "last-modified",
    "location",
    "oci-filters-applied",
    "retry-after",
)
"""Fields that have one value (RFC 9110 §5.3): two lines are two answers to one question."""

_WARNING = re.compile(r'299 - "(?:[^"\\]|\\.)*"')
_WARNINGS = 4096
_BY_DIGEST = re.compile(r"/(?:manifests|blobs)/(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")


@watching.must("every-single-field", "RFC 9110 §5.3")
def single_fields(target: Target) -> None:
    """No field that has one value comes twice."""
    for answer in target.client.journal:
        for name in SINGLE:
            require(len(answer.values(name)) < 2, f"{name} twice", answer)


@watching.must("every-date", "RFC 9110 §6.6.1")
def date(target: Target) -> None:
    """Answers with 2xx, 3xx and 4xx have a Date that is one."""
    for answer in target.client.journal:
        # What cannot be read as a request may be answered by a part that knows no clock.
        if answer.status < 500 and answer.status not in (400, 431):
            require(_is_date(answer.get("date")), f"Date is {answer.get('date')!r}", answer)


@watching.must("every-error-format", "OCI distribution-spec 1.1 §Error Codes")
def error_format(target: Target) -> None:
    """The body of a 4xx in JSON is a list of errors, each with one of the codes."""
    for answer in _errors(target):
        if answer.media_type == "application/json":
            found = codes(answer)
            require(found, "JSON without errors", answer)
            require(set(found) <= KNOWN | LEGACY, "not a code of the specification", answer)


@watching.must("every-digest", "OCI distribution-spec 1.1 §Pulling manifests")
def digest(target: Target) -> None:
    """Content asked for by digest never says another digest of the same algorithm."""
    for answer in target.client.journal:
        matched = _BY_DIGEST.search(answer.request.target)
        said = answer.get("docker-content-digest")
        if matched is None or said is None or answer.status not in (200, 206, 304):
            continue
        same = said.partition(":")[0] == matched[1].partition(":")[0]
        require(not same or said == matched[1], "another digest", answer)


@watching.must("every-warning", "OCI distribution-spec 1.1 §Warnings")
def warnings(target: Target) -> None:
    """Warning fields are `299 - "..."` and of 4096 bytes together at most."""
    for answer in target.client.journal:
        said = answer.values("warning")
        require(all(_WARNING.fullmatch(one) for one in said), "another form", answer)
        require(sum(map(len, said)) <= _WARNINGS, "too much", answer)


@watching.should("every-retry-after", "OCI distribution-spec 1.1 §Error Codes; RFC 9110 §10.2.3")
def retry_after(target: Target) -> None:
    """Every 429 has a Retry-After: seconds, or a date."""
    for answer in target.client.journal:
        said = answer.get("retry-after")
        right = said is not None and (said.isdecimal() or _is_date(said))
        require(answer.status != 429 or right, f"Retry-After is {said!r}", answer)


@watching.should("every-version", "client trap: old clients look for it, on 401 too")
def version(target: Target) -> None:
    """Every answer under `/v2/` says the API's version."""
    name = "docker-distribution-api-version"
    for answer in target.client.journal:
        own = answer.request.target.startswith("/v2/") and answer.status not in (400, 431, 501)
        require(not own or answer.get(name) == "registry/2.0", f"no {name}", answer)


def _errors(target: Target) -> list[Answer]:
    errors = [answer for answer in target.client.journal if 400 <= answer.status < 500]
    return [answer for answer in errors if answer.request.method != "HEAD" and answer.body]


def _is_date(text: str | None) -> bool:
    """An HTTP-date (RFC 9110 §5.6.7)."""
    try:
        return text is not None and parsedate_to_datetime(text).tzinfo is not None
    except ValueError:
        return False
