"""Whatever upstream sends as a list of tags or referrers, it is no document or one whose link to
the next page asks for `n` and `last` alone and can be sent back to a client.

The first byte chooses tags or referrers; then come lines of Content-Type, Link and
OCI-Filters-Applied, then the body.
"""

from urllib.parse import parse_qsl

from distcache.core.decision import HIT
from distcache.core.effects import AnswerHead
from distcache.core.oci import Digest, ReferrersRef, Repository, TagsRef
from distcache.core.pull import Method, Pull
from distcache.wire import answers, oci_json, upstream
from fuzz.targets.manifest import SAID, check

WORDS = (
    b'{"name":"a","tags":["x"]}',
    b'{"schemaVersion":2,"manifests":[{"digest":"' + SAID.encode() + b'","size":1}]}',
    b'"tags":null',
    b'</v2/a/tags/list?n=1&last=x>; rel="next"',
    b"; rel=next",
    b"?last=",
    b"&n=",
    b"%3e",
    b"artifactType",
)
REPOSITORY = Repository("up", "a")
REFERENCES = (TagsRef(REPOSITORY), ReferrersRef(REPOSITORY, Digest(SAID)))
NAMES = (b"content-type", b"link", b"oci-filters-applied")


def one_input(data: bytes) -> None:
    reference = REFERENCES[(data[:1] or b"\0")[0] % 2]
    *lines, body = data[1:].split(b"\n", 3)
    headers = [*zip(NAMES, lines, strict=False)]
    content_type = lines[0].decode("latin-1") if lines else None
    page, filters = upstream.next_page(headers), upstream.filters(headers)
    assert page is None or {n for n, _ in parse_qsl(page, keep_blank_values=True)} <= {"n", "last"}
    document = oci_json.parse_listing(body, content_type, reference, page, filters)
    assert oci_json.parse_listing(body, content_type, reference, page, filters) == document
    if document is None:
        return
    check(document, body)
    head = AnswerHead(200, HIT, len(body), document=document)
    answer = answers.answer(head, Pull(Method.GET, reference), "/v2/a/tags/list?n=9", 0.0)
    sent = dict(answer.headers)
    assert len(sent) == len(answer.headers), "a field is sent twice"
    link = sent.get(b"Link", b"")
    assert bool(link) == (page is not None), (page, link)
    target, end, rel = link.partition(b">; rel=")
    assert b">" not in target, link
    assert not end or (target.startswith(b"</v2/a/tags/list?") and rel == b'"next"'), link
    filtered = sent.get(b"OCI-Filters-Applied", b"").decode()
    assert filtered == (document.filters or ""), sent
