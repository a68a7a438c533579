"""What a 401 asks for: HTTP Basic, or a token from the realm that the challenge names.

Source: the distribution project's token specification; RFC 9110 §11.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from attrs import frozen

from .connection import Address, Connection
from .messages import Answer, Broken, Request

_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@frozen
class Credentials:
    username: str
    password: str

    @property
    def basic(self) -> str:
        return "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode()


def authorization(
    challenged: Answer,
    credentials: Credentials | None,
    patience: float,
    cacert: Path | None = None,
) -> str | None:
    """The Authorization that `challenged`, a 401, asks for; None when there is no way to get
    one. Raises Broken and OSError for a token service that does not work."""
    for challenge in challenged.values("www-authenticate"):
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "bearer":
            return _token(_parameters(rest), credentials, patience, cacert)
        if scheme.lower() == "basic" and credentials is not None:
            return credentials.basic
    return None


def _parameters(text: str) -> dict[str, str]:
    found = _PARAMETER.findall(text)
    return {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in found}


def _token(
    parameters: Mapping[str, str],
    credentials: Credentials | None,
    patience: float,
    cacert: Path | None,
) -> str | None:
    realm = parameters.get("realm", "")
    try:
        address = Address.parse(realm)
    except ValueError:
        return None
    query = {key: parameters[key] for key in ("service", "scope") if key in parameters}
    parts = urlsplit(realm)
    joined = "&".join(filter(None, (parts.query, urlencode(query, quote_via=quote))))
    fields = (("Authorization", credentials.basic),) if credentials else ()
    request = Request("GET", f"{parts.path or '/'}?{joined}", (*fields, ("Connection", "close")))
    with Connection(address, patience, cacert) as connection:
        answer = connection.ask(request)
    try:
        said = json.loads(answer.body)
        token = said.get("token") or said.get("access_token")
    except (ValueError, AttributeError):
        raise Broken(f"the token service's answer is no JSON object: {answer}") from None
    return f"Bearer {token}" if token else None
