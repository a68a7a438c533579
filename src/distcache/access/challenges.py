"""The text of WWW-Authenticate (RFC 9110 §11.6.1; CNCF Distribution, "Token Authentication
Specification"): what a client without a sufficient login is asked for."""

from ..core.oci import Repository
from ..core.pull import Catalog

CATALOG_SCOPE = "registry:catalog:*"

INVALID_TOKEN = "invalid_token"
INSUFFICIENT_SCOPE = "insufficient_scope"
"""RFC 6750 §3.1."""


def basic(realm: str) -> str:
    return f"Basic realm={_quoted(realm)}"


def bearer(realm: str, service: str = "", scope: str = "", error: str = "") -> str:
    """Empty parameters are left out."""
    rest = (("service", service), ("scope", scope), ("error", error))
    named = "".join(f",{name}={_quoted(value)}" for name, value in rest if value)
    return f"Bearer realm={_quoted(realm)}{named}"


def names(repository: Repository, default: str) -> tuple[str, ...]:
    """What a repository is called in scopes, the first name being the one to ask for. The
    default upstream's are called as in the registry; those of another have its key in front,
    so that a right to one upstream's `owner/app` is none to another's."""
    full = f"{repository.upstream}/{repository.name}"
    return (repository.name, full) if repository.upstream == default else (full,)


def scope(asked: Repository | Catalog | None, default: str) -> str:
    """The scope that `asked` takes; none for the protocol's base, `/v2/`."""
    match asked:
        case None:
            return ""
        case Catalog():
            return CATALOG_SCOPE
    return f"repository:{names(asked, default)[0]}:pull"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
