import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
)
from distcache.wire.accept import manifest_types
from distcache.wire.oci_json import SCHEMA1, SIGNED_SCHEMA1

ALL = ", ".join(MANIFEST_TYPES)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["*/*"],
        ["application/*"],
        [f"{DOCKER_MANIFEST}, */*"],
        [f"{DOCKER_MANIFEST}, */*;q=0.1"],
        [ALL],
        [*MANIFEST_TYPES, SIGNED_SCHEMA1, SCHEMA1],
        ["application/json"],
        ["text/html, application/vnd.oci.image.layer.v1.tar"],
        [f"{OCI_INDEX};q=0"],
    ],
)
def test_clients_that_take_whatever_there_is_share_one_answer(lines: list[str]) -> None:
    assert manifest_types(lines) == ()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([DOCKER_MANIFEST], (DOCKER_MANIFEST,)),
        ([f"{DOCKER_MANIFEST}, text/html"], (DOCKER_MANIFEST,)),
        ([f"{DOCKER_MANIFEST.upper()} ; Q=0.5"], (DOCKER_MANIFEST,)),
        ([SIGNED_SCHEMA1], (SIGNED_SCHEMA1,)),
        ([DOCKER_MANIFEST, DOCKER_LIST], (DOCKER_LIST, DOCKER_MANIFEST)),
        ([f"{OCI_INDEX};q=0, {OCI_MANIFEST}"], (OCI_MANIFEST,)),
        ([f"{OCI_MANIFEST}, */*;q=0"], (OCI_MANIFEST,)),
        ([f"{OCI_MANIFEST};q=nonsense;x"], (OCI_MANIFEST,)),
        ([f"{ALL.replace(OCI_INDEX, 'x/y')}"], (DOCKER_LIST, DOCKER_MANIFEST, OCI_MANIFEST)),
    ],
)
def test_a_client_of_few_types_is_kept_apart(lines: list[str], expected: tuple[str, ...]) -> None:
    assert manifest_types(lines) == expected


@given(st.lists(st.sampled_from([*MANIFEST_TYPES, SCHEMA1, "a/b"]), min_size=1), st.randoms())
def test_order_and_lines_make_no_difference(types: list[str], order: random.Random) -> None:
    shuffled = types[:]
    order.shuffle(shuffled)
    assert manifest_types(types) == manifest_types([", ".join(shuffled)])


@given(st.lists(st.text(max_size=30), max_size=3))
def test_no_accept_is_too_odd(lines: list[str]) -> None:
    assert set(manifest_types(lines)) <= {*MANIFEST_TYPES, SCHEMA1, SIGNED_SCHEMA1}
