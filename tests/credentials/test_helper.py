"""How long a helper's word counts."""

from pathlib import Path
from threading import Thread

import pytest

from distcache.credentials import Ask, Credentials, Failed, Helper, Known
from distcache.credentials.helper import RETRY, HelperSource
from tests.credentials.helpers import answering, asked, program

NOON = 1000.0
ALICE = Known(Credentials("alice", "s3cret"))


def silent(message: str, fields: dict[str, str]) -> None:
    raise AssertionError(f"{message} {fields}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return answering(tmp_path / "helper", "alice", "s3cret")


def source(path: Path, lifetime: float | None) -> HelperSource:
    return HelperSource(Helper(str(path), "ghcr.io", lifetime), silent)


def said(source: HelperSource, now: float) -> Known | Failed:
    answer = source.current(now)
    return answer.job() if isinstance(answer, Ask) else answer


def test_a_lifetime_of_0_runs_it_for_every_request(path: Path) -> None:
    helper = source(path, 0)
    for _ in range(3):
        assert isinstance(helper.current(NOON), Ask)
        assert said(helper, NOON) == ALICE
    assert len(asked(path)) == 3


def test_within_its_lifetime_an_answer_is_used_again(path: Path) -> None:
    helper = source(path, 60)
    assert said(helper, NOON) == ALICE
    assert helper.current(NOON + 59) == ALICE
    assert isinstance(helper.current(NOON + 60), Ask)
    answering(path, "bob", "other")
    assert said(helper, NOON + 60) == Known(Credentials("bob", "other"))
    assert len(asked(path)) == 2


def test_without_a_lifetime_it_is_run_once(path: Path) -> None:
    helper = source(path, None)
    assert said(helper, NOON) == ALICE
    path.unlink()
    assert helper.current(NOON + 10**9) == ALICE


def test_who_waits_for_a_running_helper_takes_its_answer(path: Path) -> None:
    helper = source(path, 60)
    answers: list[Known | Failed] = []
    jobs = [helper.current(NOON) for _ in range(3)]
    threads = [Thread(target=lambda job=job: answers.append(job.job())) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [ALICE] * 3
    assert len(asked(path)) == 1


@pytest.mark.parametrize("lifetime", [0, 60, None])
def test_a_failure_is_told_and_not_tried_again_at_once(path: Path, lifetime: float | None) -> None:
    program(path, f"echo get >> '{path}.asked'; exit 2")
    reports: list[str] = []
    helper = HelperSource(
        Helper(str(path), "ghcr.io", lifetime), lambda said, fields: reports.append(fields["error"])
    )
    failed = Failed(f"{path}: ended with status 2")
    assert said(helper, NOON) == failed
    assert helper.current(NOON + RETRY - 1) == failed
    assert len(asked(path)) == 1
    assert reports == [f"{path}: ended with status 2"]
    answering(path, "alice", "s3cret")
    assert said(helper, NOON + RETRY) == ALICE


def test_nothing_found_means_to_ask_as_a_stranger(path: Path) -> None:
    program(path, "echo credentials not found in native keychain; exit 1")
    assert said(source(path, 60), NOON) == Known(None)
