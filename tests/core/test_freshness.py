"""RFC 9111 §4.2 and RFC 5861 §4 for tags."""

from distcache.core.freshness import age, is_fresh, usable_on_error


def test_an_answer_is_fresh_for_its_lifetime() -> None:
    assert is_fresh(100.0, 60.0, 159.9)
    assert not is_fresh(100.0, 60.0, 160.0)


def test_with_a_lifetime_of_0_nothing_is_fresh() -> None:
    assert not is_fresh(100.0, 0.0, 100.0)


def test_a_clock_set_back_does_not_freeze_revalidation() -> None:
    assert not is_fresh(1000.0, 60.0, 500.0)
    assert age(1000.0, 500.0) == 0.0


def test_on_error_an_answer_is_used_up_to_the_limit() -> None:
    assert usable_on_error(100.0, 60.0, 160.0)
    assert not usable_on_error(100.0, 60.0, 160.1)
