"""If-None-Match and If-Range where the entity-tag is the digest (RFC 9110 §13)."""

import pytest

from distcache.core.conditions import not_modified, range_applies
from distcache.core.oci import Digest

D = Digest("sha256:" + "0" * 64)


@pytest.mark.parametrize("tag", [f'"{D}"', f'W/"{D}"', D, "*"])
def test_a_client_that_has_it_is_told_so(tag: str) -> None:
    assert not_modified(('"other"', tag), D)


@pytest.mark.parametrize("tags", [(), ('"other"',)])
def test_another_client_is_not(tags: tuple[str, ...]) -> None:
    assert not not_modified(tags, D)


@pytest.mark.parametrize("value", [None, f'"{D}"', D])
def test_a_range_of_the_same_content_applies(value: str | None) -> None:
    assert range_applies(value, D)


@pytest.mark.parametrize("value", ['"other"', f'W/"{D}"', "Tue, 24 Nov 2026 02:25:33 GMT"])
def test_a_range_of_other_or_unknown_content_does_not(value: str) -> None:
    assert not range_applies(value, D)
