"""Whatever docker's config.json holds, it is refused in a sentence that quotes nothing, or each
login can be shown to an upstream and to nobody else, and each helper is the name of a program.
"""

import re

from distcache.credentials import docker_config
from distcache.wire.outgoing import Credentials

WORDS = (
    b'{"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpodW50ZXIy"}}}',
    b'"username":"u","password":"hunter2"',
    b'"identitytoken":"hunter2"',
    b'"credHelpers":{"ghcr.io":"gh"}',
    b'"credsStore":"desktop"',
    b'"quay.io/acme":{',
    b'"../x"',
    b"null",
    b"\\u0000",
    b"dXNlcjpodW50ZXIyAAA=",
)
SENTENCES = (
    "is no JSON",
    "is no configuration of docker's",
    "auths is no mapping",
    "credHelpers is no mapping",
    "a credential helper's name must be letters, digits, '.', '_' and '-'",
)


def one_input(data: bytes) -> None:
    try:
        contents = docker_config.parse(data)
    except ValueError as error:
        check_sentence(str(error))
        return
    for host, login in contents.logins.items():
        assert host, contents
        assert host == host.lower(), contents
        shown = repr(login)
        assert "hunter2" not in shown, shown
        if isinstance(login, Credentials):
            assert login.username, shown
            assert login.password, shown
            assert login.basic().isascii()
    assert "hunter2" not in repr(contents.logins) or any("hunter2" in h for h in contents.logins)
    for name in (*contents.helpers.values(), contents.store or "x"):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name), name


def check_sentence(said: str) -> None:
    assert said in SENTENCES, said
