"""Whatever a client's Authorization says, only the one right login comes in, everyone else is
challenged, and what is read as a login can be read in one way only.

The input is the field's value.
"""

import tempfile
from base64 import b64encode
from pathlib import Path

import bcrypt

from distcache.access import Allowed, Challenge, Check, Gate, HtpasswdRule, Rules, Verdict
from distcache.access.authorization import Bearer, Password, parse
from distcache.core.events import Secret
from distcache.core.oci import Repository

WORDS = (
    b"Basic ",
    b"Bearer ",
    b64encode(b"alice:secret"),
    b64encode(b"alice:"),
    b64encode(b":secret"),
    b64encode("alice:s\u00e9".encode()),
    b"==",
)
ASKED = Repository("docker.io", "library/alpine")
SHOWN = [repr(one) for one in (None, Password("u", Secret("p")), Bearer(Secret("t")))]
NOW = 1_800_000_000.0

_folder = tempfile.TemporaryDirectory(prefix="distcache-fuzz-")
_users = Path(_folder.name) / "htpasswd"
_users.write_bytes(b"alice:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")


def one_input(data: bytes) -> None:
    value = data.decode("latin-1")
    said = parse(value)
    match said:
        case Password(user, password):
            pair = f"{user}:{password.value}".encode()
            assert value.rstrip(" ").endswith(f" {b64encode(pair).decode()}"), value
            assert ":" not in user, value
        case Bearer(token):
            assert value.rstrip(" ").endswith(f" {token.value}"), value
    assert repr(said) in SHOWN, "a secret is shown"
    verdict = judged(value)
    right = isinstance(said, Password) and (said.user, said.password.value) == ("alice", "secret")
    assert isinstance(verdict, Allowed if right else Challenge), (value, verdict)


def judged(value: str) -> Verdict:
    gate = Gate(Rules("docker.io", HtpasswdRule("r", _users)), lambda message, fields: None)
    found = gate.judge(value, ASKED, None, NOW)
    verdict = found.job() if isinstance(found, Check) else found
    # What was found right is remembered, and nothing else.
    again = gate.judge(value, ASKED, None, NOW)
    assert isinstance(again, Allowed) == isinstance(verdict, Allowed), value
    return verdict
