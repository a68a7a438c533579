"""Ports for servers under test: two runs side by side must not meet."""

import socket
import subprocess
import sys

from tests.support.processes import PORTS, SHARE, claimed, free_port

GIVEN = """
from tests.support.processes import SHARE, free_port
print(*[free_port() for _ in range(SHARE // 2)])
"""


def test_no_port_is_given_to_two_processes_or_twice_in_a_row() -> None:
    own = [free_port() for _ in range(SHARE // 2)]
    command = [sys.executable, "-c", GIVEN]
    other = subprocess.run(command, capture_output=True, check=True, text=True)
    ports = [*own, *map(int, other.stdout.split())]
    assert len(set(ports)) == len(ports)
    assert set(ports) <= set(PORTS)


def test_what_is_claimed_is_nobody_else_s_until_it_is_given_back() -> None:
    claims: list[tuple[socket.socket, range]] = []
    try:
        while len(claims) < 5:
            claims.append(claimed())
        assert len({share for _, share in claims}) == 5
    finally:
        for claim, _ in claims:
            claim.close()
