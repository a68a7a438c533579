"""Whatever a file of users holds, it is refused with a line's number, quoting nothing, or each of
its users has a hash that bcrypt takes.
"""

import re

import bcrypt

from distcache.access import htpasswd

HASH = b"$2y$04$" + b"abcdefghijklmnopqrstu." + b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcde"
WORDS = (
    b"alice:" + HASH,
    b"$2a$04$",
    b"$2b$99$",
    b"$apr1$",
    b"#",
    b"\r\n",
    b"\xff",
    b"\xe2\x80\xa8",
)

_SENTENCE = re.compile(
    r"line [0-9]+: (not UTF-8|must be USER:HASH|the password is not in bcrypt \(htpasswd -B\)"
    r"|the cost of bcrypt must be 4 to 17)"
)


def one_input(data: bytes) -> None:
    try:
        users = htpasswd.parse(data)
    except ValueError as error:
        check_sentence(str(error))
        return
    for user, stored in users.items():
        assert user, users
        assert ":" not in user, users
        assert user.encode() in data, user
        if stored[4:6] == b"04":
            # Dearer ones take too long here.
            bcrypt.checkpw(b"password", stored)


def check_sentence(said: str) -> None:
    assert _SENTENCE.fullmatch(said), said
