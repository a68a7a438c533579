"""Upstreams whose own logins count: the client is sent to upstream's token service, and what it
brings from there is shown to upstream.

Only a Bearer challenge is handed on. A Basic one would have the client send its password for
another host here.
"""

from collections.abc import Iterable

from ..core.events import Challenge, Secret
from ..core.oci import Repository
from . import challenges
from .authorization import Bearer, parse


def handed(said: Iterable[Challenge], repository: Repository | None) -> str | None:
    """WWW-Authenticate for the client: the first Bearer challenge of upstream's, with its realm
    and service; the scope is upstream's or else that of pulling `repository` (None for `/v2/`).
    None: upstream asks for nothing that can be handed on."""
    for challenge in said:
        if challenge.bearer:
            scope = challenge.scope
            if repository is not None and not scope:
                scope = f"repository:{repository.name}:pull"
            return challenges.bearer(challenge.realm, challenge.service, scope)
    return None


def shown(authorization: str | None) -> Secret | None:
    """The token that a client brings for upstream, None without one."""
    login = parse(authorization)
    return login.token if isinstance(login, Bearer) else None
