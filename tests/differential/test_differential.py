"""distcache in front of Debian's docker-registry, and that registry itself: equal answers, or a
difference that is listed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from distcache.conformance.content import Content
from tests.conformance.stocked import docker_registry
from tests.conformance.targets import stocked
from tests.conformance.test_distcache import distcache
from tests.differential.answers import Answer, differences
from tests.differential.deviations import DEVIATIONS, explained
from tests.differential.run import LABEL, compared
from tests.differential.scripts import Request
from tests.interop.tools import need
from tests.support.cache import RUNTIMES

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
EXAMPLES = 200
DIGEST = "sha256:" + "0" * 64
BLOB = Request("blobs", f"/v2/a/blobs/{DIGEST}")
FOUND = Answer(200, {"content-type": "application/octet-stream", "etag": f'"{DIGEST}"'}, b"x", True)
ABSENT = Answer(
    404, {"content-type": "application/json"}, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}', True
)


@pytest.fixture(scope="module")
def content() -> Content:
    return stocked(LABEL).content()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    need("docker-registry")
    with docker_registry(tmp_path_factory.mktemp("registry"), stocked(LABEL)) as port:
        yield port


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_answers_are_equal_or_the_difference_is_listed(
    tmp_path: Path, runtime: str, registry: int, content: Content
) -> None:
    with distcache(tmp_path, runtime, registry) as cache:
        met = compared(cache.port, registry, content, EXAMPLES, number=RUNTIMES.index(runtime))
    assert met["requests"] > EXAMPLES
    assert len(met) > len(DEVIATIONS) / 2


@pytest.mark.parametrize(
    "wrong",
    [
        evolve(FOUND, body=b"y"),
        evolve(FOUND, whole=False),
        evolve(FOUND, fields={**FOUND.fields, "content-type": "text/html"}),
        evolve(FOUND, fields={**FOUND.fields, "etag": '"other"'}),
        ABSENT,
        evolve(ABSENT, status=500),
    ],
)
def test_a_wrong_answer_is_not_explained(wrong: Answer) -> None:
    assert explained(BLOB, wrong, FOUND, differences(wrong, FOUND))[0]


def test_errors_are_compared_by_code() -> None:
    text = b'{"errors":[{"code":"BLOB_UNKNOWN","message":"of its own"}]}'
    assert not differences(ABSENT, evolve(ABSENT, body=text))
    other = evolve(ABSENT, body=text.replace(b"BLOB", b"NAME"))
    assert differences(ABSENT, other) == {"body"}


def test_every_deviation_is_documented() -> None:
    page = PAGE.read_text()
    for one in DEVIATIONS:
        assert f"| {one.ours} | {one.theirs} | {one.rule} |" in page, one.id
