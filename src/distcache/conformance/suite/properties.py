"""Properties: the same promises as elsewhere, for whatever a generator thinks of.

Hypothesis chooses the examples, always the same ones for the same number of them, and reduces
what fails to the least that fails; the message ends with that example.
"""

import string
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from ..checks import Section, Target, expect, require, skip
from ..client import ACCEPT, MANIFEST_TYPES
from ..content import Blob, as_object
from ..digests import is_digest, matches
from . import discovery, picks
from .ranges import check_any

properties = Section("Properties")

T = TypeVar("T")
_PART = st.text("ab0-_.", min_size=1, max_size=6)
_NAMES = st.lists(_PART, min_size=1, max_size=8).map("/".join)


def every(target: Target, values: st.SearchStrategy[T], holds: Callable[[T], None]) -> None:
    """Raises what `holds` raises, for the least value it raises for, which is in its notes."""

    @settings(
        max_examples=target.examples,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(values)
    def run(value: T) -> None:
        note(f"for {value!r}")
        holds(value)

    run()


def _ranged(target: Target) -> tuple[Blob, bytes]:
    blob = picks.a_blob(target, least=200)
    return blob, picks.whole(target, blob)


@properties.must("any-range", "RFC 9110 §14.1.2, §15.3.7, §15.5.17")
def any_range(target: Target) -> None:
    """One range of any kind is answered with exactly what it selects, with 416 only when it
    selects nothing, or with the whole."""
    blob, data = _ranged(target)
    offsets = st.one_of(st.integers(0, len(data) + 5), st.sampled_from((0, 2**31, 2**63, 10**25)))
    pairs = st.tuples(offsets, offsets)

    def holds(given: tuple[int, int], kind: str) -> None:
        first, last = min(given), max(given)
        value = {"closed": f"{first}-{last}", "open": f"{first}-", "suffix": f"-{last}"}[kind]
        answer = target.client.get(blob.path, ("Range", f"bytes={value}"))
        nothing = last == 0 if kind == "suffix" else first >= len(data)
        if answer.status == 416 and nothing:
            return
        check_any(answer, data)
        require(answer.status == 200 or not nothing, "a part of nothing", answer)
        if answer.status == 206 and kind != "suffix":
            start = f"bytes {first}-"
            require((answer.get("content-range") or "").startswith(start), start, answer)

    kinds = st.sampled_from(("closed", "open", "suffix"))
    every(target, st.tuples(pairs, kinds), lambda pair: holds(*pair))


@properties.must("any-ranges", "RFC 9110 §14.2, §14.6")
def any_ranges(target: Target) -> None:
    """Several ranges, in any order, overlapping or beyond the end, never get wrong bytes."""
    blob, data = _ranged(target)
    specs: st.SearchStrategy[tuple[int | None, int | None]] = st.one_of(
        st.tuples(st.integers(0, len(data) * 2), st.integers(0, 90)).map(lambda p: (p[0], sum(p))),
        st.integers(0, len(data)).map(lambda first: (first, None)),
        st.integers(1, len(data)).map(lambda count: (None, count)),
    )

    def holds(chosen: list[tuple[int | None, int | None]]) -> None:
        parts = ["-".join("" if end is None else str(end) for end in one) for one in chosen]
        answer = target.client.get(blob.path, ("Range", f"bytes={', '.join(parts)}"))
        nothing = min(0 if first is None else first for first, _ in chosen) >= len(data)
        if not (answer.status == 416 and nothing):
            check_any(answer, data)

    every(target, st.lists(specs, min_size=2, max_size=6), holds)


@properties.must("any-none-match", "RFC 9110 §13.1.2")
def any_none_match(target: Target) -> None:
    """If-None-Match is 304 exactly when the ETag is among the list, in any spelling of it."""
    blob = picks.a_blob(target)
    etag = target.client.head(blob.path).get("etag") or skip("blobs have no ETag")
    tags = st.sampled_from((etag, f"W/{etag}", '"x"', 'W/"y,z"', '""', f'"{etag[2:]}'))
    commas = st.sampled_from((",", ", ", " ,\t", ",, "))

    def holds(chosen: tuple[list[str], str]) -> None:
        listed, comma = chosen
        answer = target.client.get(blob.path, ("If-None-Match", comma.join(listed)))
        held = any(tag.removeprefix("W/") == etag for tag in listed)
        expect(answer, 304 if held else 200)

    every(target, st.tuples(st.lists(tags, min_size=1, max_size=5), commas), holds)


@properties.must("any-accept", "RFC 9110 §12.5.1; client trap: one type's answer for another's")
def any_accept(target: Target) -> None:
    """Whatever manifest types a client takes, a tag answers with its manifest when that is of
    one of them; else with another that is rightly described, or not at all."""
    manifest = picks.a_tagged_manifest(target)
    types = st.lists(st.sampled_from(MANIFEST_TYPES), min_size=1, unique=True)
    quality = st.sampled_from(("", ";q=1", "; q=0.5", ";q=0.001"))

    def holds(chosen: tuple[list[str], str, bool]) -> None:
        taken, q, lines = chosen
        values = [one + q for one in taken] if lines else [", ".join(one + q for one in taken)]
        answer = target.client.get(manifest.tag_path, *(("Accept", one) for one in values))
        if manifest.media_type in taken:
            own = expect(answer, 200).body == manifest.body
            require(own, "not the manifest, whose type is taken", answer)
        elif expect(answer, 200, 404, 406).status == 200:
            said = picks.said_digest(answer)
            require(said is None or matches(said, answer.body), "a wrong digest", answer)
            kind = as_object(answer.body).get("mediaType")
            require(kind in (None, answer.media_type), "a wrong Content-Type", answer)

    every(target, st.tuples(types, quality, st.booleans()), holds)


@properties.must("any-spelling", "RFC 9110 §5.1, §5.5, §5.3")
def any_spelling(target: Target) -> None:
    """Fields mean the same in any case, any order and with any white space around values."""
    blob, data = _ranged(target)
    fields = (("Range", "bytes=3-9"), ("Accept", "*/*"), ("User-Agent", "x"), ("X-A", "b,c"))
    flips = st.lists(st.booleans(), min_size=4, max_size=40)
    spaces = st.sampled_from(("", " ", "\t", "  \t"))
    wanted = target.client.get(blob.path, *fields)
    check_any(wanted, data)

    def holds(chosen: tuple[list[tuple[str, str]], list[bool], str, str]) -> None:
        ordered, bits, before, after = chosen
        spelled = [
            (
                "".join(c.upper() if bits[i % len(bits)] else c.lower() for i, c in enumerate(n)),
                f"{before}{value}{after}",
            )
            for n, value in ordered
        ]
        answer = target.client.get(blob.path, *spelled)
        picks.same_fields(answer, wanted, "content-range", "content-length")
        require((answer.status, answer.body) == (wanted.status, wanted.body), "differs", answer)

    every(target, st.tuples(st.permutations(fields), flips, spaces, spaces), holds)


@properties.must("any-name", "OCI distribution-spec 1.1 §Pulling manifests")
def any_name(target: Target) -> None:
    """Whatever the name, a repository that does not exist is refused with a 4xx: 404 when the
    name is one, else 400 or 404."""

    def holds(name: str) -> None:
        answer = target.client.get(f"/v2/no-such-x/{name}/manifests/latest", ACCEPT)
        expect(answer, 400, 401, 403, 404)

    every(target, _NAMES, holds)


@properties.must("any-reference", "OCI distribution-spec 1.1 §Pulling manifests")
def any_reference(target: Target) -> None:
    """Whatever the reference, what is not there is 400 or 404, with GET and HEAD alike."""
    manifest = picks.a_manifest(target)
    held = {one.tag for one in target.content.manifests} | set(
        target.content.tags.get(manifest.repository, ())
    )
    texts = st.one_of(
        st.text(string.ascii_letters + string.digits + "._-:", min_size=1, max_size=140),
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
        st.text("0123456789abcdef", min_size=63, max_size=65).map("sha256:{}".format),
    )

    def holds(text: str) -> None:
        if text in held or text in (".", "..") or is_digest(text):
            return
        path = f"/v2/{manifest.repository}/manifests/{quote(text, safe='')}"
        answers = [target.client.ask(method, path, ACCEPT) for method in ("GET", "HEAD")]
        for answer in answers:
            expect(answer, 400, 404)
        require(len({a.status for a in answers}) == 1, "HEAD differs from GET", *answers)

    every(target, texts, holds)


@properties.must("any-page", discovery.TAGS)
def any_page(target: Target) -> None:
    """For any `n` and `last`, tags/list is the part of the whole list that they ask for."""
    name, _ = discovery.most_tags(target)
    whole = [tag for page in discovery.walk(target, f"/v2/{name}/tags/list") for tag in page]
    counts = st.one_of(st.none(), st.integers(0, len(whole) + 3))
    lasts = st.one_of(st.none(), st.sampled_from(whole))

    def holds(chosen: tuple[int | None, str | None]) -> None:
        count, last = chosen
        asked = [f"n={count}"] if count is not None else []
        asked += [f"last={quote(last, safe='')}"] if last is not None else []
        answer = target.client.get(f"/v2/{name}/tags/list?{'&'.join(asked)}")
        after = whole[whole.index(last) + 1 :] if last is not None else whole
        wanted = after if count is None else after[:count]
        found = discovery.names_in(answer)
        linked = discovery.next_page(answer) is not None
        right = found == wanted or (linked and found == wanted[: len(found)])
        require(right, f"{wanted} expected, not {found}", answer)
        more = count is not None and 0 < count < len(after)
        require(more or not linked or count is None, "a Link behind the end", answer)

    every(target, st.tuples(counts, lasts), holds)
