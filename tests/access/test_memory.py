from distcache.access.memory import Memory


def test_what_is_kept_is_found_until_its_time() -> None:
    memory: Memory[str] = Memory()
    memory.keep(b"a", value="x", until=10.0)
    assert memory.find(b"a", now=9.9) == "x"
    assert memory.find(b"a", now=10.0) is None
    assert memory.find(b"a", now=9.0) is None
    assert memory.find(b"b", now=0.0) is None


def test_the_least_recently_used_goes_first() -> None:
    memory: Memory[int] = Memory(entries=2)
    memory.keep(b"a", value=1, until=10.0)
    memory.keep(b"b", value=2, until=10.0)
    memory.find(b"a", now=0.0)
    memory.keep(b"c", value=3, until=10.0)
    found = [memory.find(name, now=0.0) for name in (b"a", b"b", b"c")]
    assert found == [1, None, 3]


def test_keeping_again_renews() -> None:
    memory: Memory[int] = Memory(entries=2)
    memory.keep(b"a", value=1, until=10.0)
    memory.keep(b"b", value=2, until=10.0)
    memory.keep(b"a", value=3, until=20.0)
    memory.keep(b"c", value=4, until=20.0)
    assert memory.find(b"a", now=15.0) == 3
    assert memory.find(b"b", now=5.0) is None


def test_parts_do_not_run_into_each_other() -> None:
    memory: Memory[int] = Memory()
    memory.keep(b"ab", b"c", value=1, until=10.0)
    assert memory.find(b"a", b"bc", now=0.0) is None
    assert memory.find(b"abc", now=0.0) is None


def test_a_fingerprint_means_nothing_to_another_process() -> None:
    one: Memory[int] = Memory()
    other: Memory[int] = Memory()
    assert one.fingerprint(b"secret") == one.fingerprint(b"secret")
    assert one.fingerprint(b"secret") != other.fingerprint(b"secret")


def test_no_secret_is_kept() -> None:
    memory: Memory[bool] = Memory()
    memory.keep(b"hunter2", value=True, until=10.0)
    assert "hunter2" not in repr(vars(memory))
