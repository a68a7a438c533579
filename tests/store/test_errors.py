import errno
import sqlite3

import pytest

from distcache.core.events import StoreFault
from distcache.store import StoreError
from distcache.store.errors import translated


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (errno.ENOSPC, StoreFault.NO_SPACE),
        (errno.EDQUOT, StoreFault.NO_SPACE),
        (errno.EROFS, StoreFault.READ_ONLY),
        (errno.EIO, StoreFault.FAULT),
        (errno.EMFILE, StoreFault.FAULT),
        (errno.ENOENT, StoreFault.FAULT),
    ],
)
def test_errors_of_files_are_told_apart_by_their_number(number: int, fault: StoreFault) -> None:
    with pytest.raises(StoreError, match="reason") as caught, translated():
        raise OSError(number, "reason")
    assert caught.value.fault is fault


def test_a_full_database_is_no_space() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("PRAGMA max_page_count = 2")
    with pytest.raises(StoreError, match="index: database or disk is full") as caught, translated():
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert caught.value.fault is StoreFault.NO_SPACE
    connection.close()


def test_a_database_that_cannot_be_written_is_read_only() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="readonly") as caught, translated():
        connection.execute("CREATE TABLE t (x)")
    assert caught.value.fault is StoreFault.READ_ONLY
    connection.close()


def test_any_other_fault_of_the_database_is_a_fault() -> None:
    connection = sqlite3.connect(":memory:")
    connection.close()
    with pytest.raises(StoreError, match="closed database") as caught, translated():
        connection.execute("SELECT 1")
    assert caught.value.fault is StoreFault.FAULT


def test_other_errors_pass_untouched() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError
