"""A token service for docker-registry (Docker Registry v2 authentication, Bearer tokens), as strict
as its specification: what the GET form and the OAuth2 form must hold is looked at, and whoever asks
otherwise is refused.

Tokens are RS256 JWTs that carry the signing certificate in `x5c`. openssl signs them, so no
cryptography package is needed for the tests."""

import base64
import hashlib
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

from attrs import define, field

ISSUER = "interop-issuer"
SERVICE = "interop-service"
LIFETIME = 300
FORM = "application/x-www-form-urlencoded"


class Refused(Exception):
    """Status and error code (RFC 6749 section 5.2)."""


@define(eq=False)
class TokenService:
    """`requests` lists the targets asked for, `forms` the bodies of the OAuth2 form. With
    `credentials` (user:password) anybody else is refused; without, everybody gets a token, as on
    Docker Hub. With `offline`, whoever logs in and asks for it gets a refresh token."""

    directory: Path
    credentials: str | None
    offline: bool = False
    port: int = 0
    requests: list[str] = field(factory=list)
    forms: list[dict[str, str]] = field(factory=list)
    _refresh_tokens: set[str] = field(factory=set, init=False)

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self.port}/token"

    @property
    def certificate(self) -> Path:
        return self.directory / "certificate.pem"

    def create_key(self) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        files = ["-keyout", str(self.directory / "key.pem"), "-out", str(self.certificate)]
        run([*command, "-subj", f"/CN={ISSUER}", *files])

    def grant(self, scopes: list[str], now: int) -> str:
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":", 2)
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        serial = hashlib.sha256(f"{scopes}{now}{len(self.requests)}".encode()).hexdigest()
        claims = {"iss": ISSUER, "sub": "", "aud": SERVICE, "jti": serial, "access": access}
        times = {"exp": now + LIFETIME, "nbf": now - 10, "iat": now}
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self._bare_certificate()]}
        signed = f"{encode(header)}.{encode(claims | times)}"
        key = str(self.directory / "key.pem")
        signature = run(["openssl", "dgst", "-sha256", "-sign", key], signed.encode())
        return f"{signed}.{url_base64(signature)}"

    def by_query(self, target: str, authorization: str) -> dict[str, object]:
        """The answer to the GET form. Raises Refused."""
        query = parse_qs(urlsplit(target).query)
        if query.get("service") != [SERVICE]:
            raise Refused(400, "invalid_request")
        if self.credentials is not None:
            known = base64.b64encode(self.credentials.encode()).decode()
            if authorization != f"Basic {known}":
                raise Refused(401, "invalid_client")
        answer = self._answer("token", query.get("scope", []))
        return answer | self._refreshing(query.get("offline_token") == ["true"])

    def by_form(self, kind: str, body: bytes) -> dict[str, object]:
        """The answer to the OAuth2 form, `kind` its media type. Raises Refused."""
        fields = parse_qsl(body.decode())
        form = dict(fields)
        self.forms.append(form)
        # RFC 6749 section 3.2: no parameter comes twice.
        if kind.partition(";")[0].strip() != FORM or len(form) != len(fields):
            raise Refused(400, "invalid_request")
        if form.get("service") != SERVICE or not form.get("client_id"):
            raise Refused(400, "invalid_request")
        self._check_grant(form)
        # RFC 6749 section 3.3: all in one, with spaces between.
        answer = self._answer("access_token", form.get("scope", "").split())
        return answer | self._refreshing(form.get("access_type") == "offline")

    def revoke(self) -> None:
        """From now on no refresh token that was given is of any use."""
        self._refresh_tokens.clear()

    def _check_grant(self, form: dict[str, str]) -> None:
        login = f"{form.get('username')}:{form.get('password')}"
        match form.get("grant_type"):
            case "refresh_token":
                right = form.get("refresh_token") in self._refresh_tokens
            case "password":
                right = self.credentials in (None, login)
            case _:
                raise Refused(400, "unsupported_grant_type")
        if not right:
            raise Refused(400, "invalid_grant")

    def _answer(self, name: str, scopes: list[str]) -> dict[str, object]:
        token = self.grant(scopes, int(time.time()))
        return {name: token, "expires_in": LIFETIME, "scope": " ".join(scopes)}

    def _refreshing(self, wanted: bool) -> dict[str, object]:
        """Only who asks for one gets a refresh token."""
        if not self.offline or not wanted:
            return {}
        token = secrets.token_urlsafe()
        self._refresh_tokens.add(token)
        return {"refresh_token": token}

    def _bare_certificate(self) -> str:
        lines = self.certificate.read_text().splitlines()
        return "".join(line for line in lines if "-----" not in line)


@contextmanager
def token_service(
    directory: Path, credentials: str | None, offline: bool = False
) -> Iterator[TokenService]:
    service = TokenService(directory, credentials, offline)
    service.create_key()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            login = self.headers.get("Authorization", "")
            self._answer(lambda: service.by_query(self.path, login))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(lambda: service.by_form(self.headers.get("Content-Type", ""), body))

        def log_message(self, *args: object) -> None:
            pass

        def _answer(self, said: Callable[[], dict[str, object]]) -> None:
            service.requests.append(self.path)
            try:
                status, value = 200, said()
            except Refused as refused:
                status, error = refused.args
                value = {"error": error}
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        service.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


def run(command: list[str], stdin: bytes = b"") -> bytes:
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def encode(value: object) -> str:
    return url_base64(json.dumps(value, separators=(",", ":")).encode())


def url_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
