"""Running a credential helper: no shell, bounded in time and output, gone when done.

A helper is asked as `PROGRAM get` with a server on standard input and answers JSON. What it
writes may be secret, its complaints too, so none of it is ever quoted.

Source: docker-credential-helpers, README.md, "Development", and credentials/credentials.go.
"""

import json
import os
import selectors
import signal
import subprocess
from contextlib import suppress
from time import monotonic

from ..core.events import Secret
from ..wire.outgoing import Credentials, IdentityToken, Login

TIME = 15.0
"""Seconds; a helper may ask a cloud for a token, and a client waits 30 s for its answer."""

OUTPUT = 64 * 1024
"""Bytes; tokens of cloud registries pass 16 KiB."""

NOT_FOUND = b"credentials not found in native keychain"
"""What a helper prints, failing, when it has nothing for the server."""

TOKEN_USER = "<token>"
"""The user name that marks an identity token."""


class HelperFailed(Exception):
    """Why there is no answer, in a sentence that quotes nothing of the helper's."""


class _TooMuch(Exception):
    pass


def ask(program: str, server: str, seconds: float = TIME) -> Login | None:
    """Blocking. None: the helper has no login for `server`. Raises HelperFailed."""
    status, output = _run(program, server.encode() + b"\n", seconds)
    if status:
        if output.strip() == NOT_FOUND:
            return None
        raise HelperFailed(f"{program}: ended with status {status}")
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        answer = None
    members = answer if isinstance(answer, dict) else {}
    user, secret = members.get("Username"), members.get("Secret")
    if not isinstance(user, str) or not isinstance(secret, str) or not secret:
        raise HelperFailed(f"{program}: the answer has no Username and Secret")
    if user == TOKEN_USER:
        return IdentityToken(Secret(secret))
    if not user:
        raise HelperFailed(f"{program}: the answer has no Username and Secret")
    return Credentials(user, secret)


def _run(program: str, question: bytes, seconds: float) -> tuple[int, bytes]:
    """Its exit status and what it wrote on standard output."""
    try:
        process = subprocess.Popen(
            [program, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a program"
        raise HelperFailed(f"{program}: cannot be run: {why}") from None
    deadline = monotonic() + seconds
    with process:
        try:
            output = _converse(process, question, deadline)
            return process.wait(max(0.0, deadline - monotonic())), output
        except (TimeoutError, subprocess.TimeoutExpired):
            raise HelperFailed(f"{program}: no answer within {seconds:g}s") from None
        except _TooMuch:
            raise HelperFailed(f"{program}: writes more than an answer can have") from None
        finally:
            if process.returncode is None:
                # With all that it started. Nobody has waited for it, so the number is still its.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _converse(process: subprocess.Popen[bytes], question: bytes, deadline: float) -> bytes:
    """All that comes until the end of its output. Raises TimeoutError and _TooMuch."""
    assert process.stdin is not None
    assert process.stdout is not None
    # A helper that reads nothing may be gone already; one line fits into any pipe.
    with suppress(BrokenPipeError):
        process.stdin.write(question)
        process.stdin.close()
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - monotonic())):
            piece = os.read(process.stdout.fileno(), OUTPUT + 1)
            output += piece
            if not piece:
                return output
            if len(output) > OUTPUT:
                raise _TooMuch
    raise TimeoutError
