from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distcache.core.inventory import Answer
from distcache.core.oci import Descriptor, Document, Listed, Reference
from distcache.core.pull import Client
from distcache.store.codec import (
    ANSWER,
    CLIENT,
    DESCRIPTOR,
    DOCUMENT,
    LISTED,
    REFERENCE,
    TEXT,
    Column,
)
from tests.store.samples import (
    answers,
    anything,
    clients,
    descriptors,
    documents,
    listed,
    references,
    unhurried,
)


@unhurried
@given(documents)
def test_a_document_comes_back_equal(document: Document) -> None:
    assert DOCUMENT.load(DOCUMENT.dump(document)) == document


def test_a_document_of_an_earlier_release_is_read() -> None:
    text = '{"children":[],"filters":null,"media_type":"m","next_page":"n=1"}'
    assert DOCUMENT.load(text) == Document("m")


@unhurried
@given(listed)
def test_what_came_with_a_list_comes_back_equal(said: Listed) -> None:
    assert LISTED.load(LISTED.dump(said)) == said


@unhurried
@given(descriptors)
def test_a_descriptor_comes_back_equal(descriptor: Descriptor) -> None:
    assert DESCRIPTOR.load(DESCRIPTOR.dump(descriptor)) == descriptor


@unhurried
@given(references)
def test_a_reference_comes_back_equal_and_of_its_class(reference: Reference) -> None:
    back = REFERENCE.load(REFERENCE.dump(reference))
    assert back == reference
    assert type(back) is type(reference)


@unhurried
@given(references, references)
def test_text_of_references_is_equal_exactly_when_they_are(one: Reference, two: Reference) -> None:
    assert (REFERENCE.dump(one) == REFERENCE.dump(two)) == (one == two)


@unhurried
@given(documents, anything)
def test_text_is_ascii_whatever_upstream_said(document: Document, text: str) -> None:
    assert DOCUMENT.dump(document).isascii()
    assert TEXT.dump(text).isascii()
    assert TEXT.load(TEXT.dump(text)) == text


CONTENT = '"content":{"kind":"blob","digest":"d"}'


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (DOCUMENT, ""),
        (DOCUMENT, "{"),
        (DOCUMENT, "null"),
        (DOCUMENT, "[]"),
        (DOCUMENT, '"media_type"'),
        (DOCUMENT, "{}"),
        (DOCUMENT, '{"media_type":1}'),
        (DOCUMENT, '{"media_type":"m","other":1}'),
        (DOCUMENT, '{"media_type":"m","children":""}'),
        (DOCUMENT, '{"media_type":"m","children":{}}'),
        (DOCUMENT, '{"media_type":"m","children":null}'),
        (DOCUMENT, '{"media_type":"m","children":[null]}'),
        (DOCUMENT, '{"media_type":"m","tags":""}'),
        (DOCUMENT, '{"media_type":"m","tags":[1]}'),
        (LISTED, '{"filters":1}'),
        (LISTED, "null"),
        (DOCUMENT, "[" * 100_000),
        (DESCRIPTOR, "{" + CONTENT + ',"media_type":"m"}'),
        (DESCRIPTOR, "{" + CONTENT + ',"size":"1","media_type":"m"}'),
        (DESCRIPTOR, "{" + CONTENT + ',"size":true,"media_type":"m"}'),
        (DESCRIPTOR, "{" + CONTENT + ',"size":1.0,"media_type":"m"}'),
        (DESCRIPTOR, '{"content":{"kind":"x","digest":"d"},"size":1,"media_type":"m"}'),
        (DESCRIPTOR, '{"content":{"kind":"blob","digest":null},"size":1,"media_type":"m"}'),
        (REFERENCE, "{}"),
        (REFERENCE, "[]"),
        (REFERENCE, '{"_type":"Repository","upstream":"u","name":"n"}'),
        (REFERENCE, '{"_type":["TagRef"]}'),
        (REFERENCE, '{"_type":"TagRef","tag":"t"}'),
        (TEXT, "1"),
        (TEXT, "null"),
    ],
)
def test_wrong_types_are_errors_not_coerced(column: Column[Any], text: str) -> None:
    with pytest.raises(ValueError, match="damaged value"):
        column.load(text)


@unhurried
@given(st.sampled_from([DOCUMENT, DESCRIPTOR, LISTED, REFERENCE, TEXT]), anything)
def test_any_text_is_a_value_or_a_value_error(column: Column[Any], text: str) -> None:
    try:
        value = column.load(text)
    except ValueError:
        return
    assert column.load(column.dump(value)) == value


@unhurried
@given(answers)
def test_an_answer_comes_back_equal(answer: Answer) -> None:
    assert ANSWER.load(ANSWER.dump(answer)) == answer


@unhurried
@given(clients)
def test_a_client_comes_back_equal(client: Client) -> None:
    assert CLIENT.load(CLIENT.dump(client)) == client
