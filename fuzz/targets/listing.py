"""Whatever upstream sends as a list of tags or referrers, it is no document or one that can be
sent on to a client, whole or a page of it, with a link on the client's own path.

The first byte chooses tags or referrers; then come lines of Content-Type, Link and
OCI-Filters-Applied, then the body.
"""

import json

from distcache.core.decision import HIT
from distcache.core.effects import AnswerHead, UpstreamRequest
from distcache.core.oci import Digest, Listed, ReferrersRef, Repository, TagsRef
from distcache.core.pull import Method, Pull
from distcache.wire import answers, oci_json, upstream
from distcache.wire.sites import UpstreamSite
from distcache.wire.spelling import is_tag
from distcache.wire.urls import Url
from fuzz.targets.manifest import SAID, check

WORDS = (
    b'{"name":"a","tags":["x"]}',
    b'{"schemaVersion":2,"manifests":[{"digest":"' + SAID.encode() + b'","size":1}]}',
    b'"tags":null',
    b'{"tags":[1]}',
    b'</v2/a/tags/list?n=1&last=x>; rel="next"',
    b"; rel=next",
    b"?last=",
    b"&n=",
    b"%3e",
    b"artifactType",
)
REPOSITORY = Repository("up", "a")
REFERENCES = (TagsRef(REPOSITORY), ReferrersRef(REPOSITORY, Digest(SAID)))
SITE = UpstreamSite("up", Url("https", "up", 443))
NAMES = (b"content-type", b"link", b"oci-filters-applied")


def one_input(data: bytes) -> None:
    reference = REFERENCES[(data[:1] or b"\0")[0] % 2]
    *lines, body = data[1:].split(b"\n", 3)
    headers = [*zip(NAMES, lines, strict=False)]
    content_type = lines[0].decode("latin-1") if lines else None
    asked = UpstreamRequest(Method.GET, REPOSITORY, reference)
    said = upstream.head(SITE, upstream.request(SITE, asked, None), 200, headers, 0.0)
    page = said.next_page
    assert page is None or not page.allowed or page.same_origin, page
    document = oci_json.parse_listing(body, content_type, reference)
    assert oci_json.parse_listing(body, content_type, reference) == document
    if document is None:
        return
    head = AnswerHead(200, HIT, len(body), listed=Listed(said.filters, page.url if page else None))
    if document.tags is not None:
        assert list(document.tags) == sorted(set(document.tags)), document
        assert all(map(is_tag, document.tags)), document
        assert oci_json.parse_listing(body + body, content_type, reference) == document
        head = AnswerHead(200, HIT, tags=document.tags[:1], more=True)
    else:
        check(document, body)
    answer = answers.answer(head, Pull(Method.GET, reference), "/v2/a/tags/list?n=9", 0.0)
    sent = dict(answer.headers)
    assert len(sent) == len(answer.headers), "a field is sent twice"
    target, end, rel = sent.get(b"Link", b"").partition(b">; rel=")
    assert b">" not in target, sent
    assert not end or (target.startswith(b"</v2/a/tags/list?") and rel == b'"next"'), sent
    if document.tags is None:
        assert sent.get(b"OCI-Filters-Applied", b"").decode() == (said.filters or ""), sent
    else:
        assert json.loads(answer.body or b"") == {"name": "a", "tags": list(document.tags[:1])}
