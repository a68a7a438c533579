"""Logins that wait for a thread."""

from collections.abc import Callable
from typing import TypeVar

from distcache.access import Allowed, Check, Verdict
from distcache.driver.checks import AT_ONCE, BUSY, WAITING, Checks, Ticket

T = TypeVar("T")


class Shell:
    """Jobs that are done when the test says so, the oldest first."""

    def __init__(self) -> None:
        self.begun: list[Callable[[], None]] = []

    def run_job(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        self.begun.append(lambda: then(job()))

    def finish_one(self) -> None:
        self.begun.pop(0)()


def checking(who: str) -> Check:
    return Check(lambda: Allowed(who))


def test_few_run_at_once_and_each_gets_its_own_verdict_in_turn() -> None:
    shell, heard = Shell(), list[Verdict]()
    checks = Checks(shell.run_job)
    for number in range(5):
        checks.begin(checking(f"user {number}"), heard.append)
    while shell.begun:
        assert len(shell.begun) <= AT_ONCE
        shell.finish_one()
    assert heard == [Allowed(f"user {number}") for number in range(5)]


def test_who_has_left_costs_no_thread_and_hears_nothing() -> None:
    shell, heard = Shell(), list[Verdict]()
    checks = Checks(shell.run_job)
    tickets = [checks.begin(checking(f"user {number}"), heard.append) for number in range(4)]
    for ticket in tickets[1:3]:
        assert isinstance(ticket, Ticket)
        ticket.left = True
    done = 0
    while shell.begun:
        shell.finish_one()
        done += 1
    assert done == 3
    assert heard == [Allowed("user 0"), Allowed("user 3")]


def test_no_more_wait_than_can_be_served_in_time() -> None:
    shell, heard = Shell(), list[Verdict]()
    checks = Checks(shell.run_job)
    tickets = [checks.begin(checking("somebody"), heard.append) for _ in range(AT_ONCE + WAITING)]
    assert BUSY not in tickets
    assert checks.begin(checking("one too many"), heard.append) is BUSY
    assert isinstance(tickets[-1], Ticket)
    tickets[-1].left = True
    assert isinstance(checks.begin(checking("another"), heard.append), Ticket)
