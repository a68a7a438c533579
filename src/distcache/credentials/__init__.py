"""What this cache shows its upstreams: passwords, files that hold them, helpers that know them.

A source is asked for every request and answers at once or with a job for a thread.
"""

from typing import assert_never

from ..watched import Report
from ..wire.outgoing import Credentials, IdentityToken, Login
from .docker_config import DockerConfig, DockerConfigSource
from .helper import Helper, HelperSource
from .logins import Ask, CredentialSource, Failed, Fixed, Known
from .password_file import PasswordFile, PasswordFileSource

Spec = Credentials | PasswordFile | Helper | DockerConfig
"""What a configuration says about one upstream's credentials."""


def open_source(spec: Spec, report: Report) -> CredentialSource:
    """Touches no file yet. `report` may be called from any thread, never with a secret."""
    match spec:
        case Credentials():
            return Fixed(spec)
        case PasswordFile():
            return PasswordFileSource(spec, report)
        case Helper():
            return HelperSource(spec, report)
        case DockerConfig():
            return DockerConfigSource(spec, report)
    assert_never(spec)


__all__ = [
    "Ask",
    "CredentialSource",
    "Credentials",
    "DockerConfig",
    "Failed",
    "Fixed",
    "Helper",
    "IdentityToken",
    "Known",
    "Login",
    "PasswordFile",
    "Spec",
    "open_source",
]
