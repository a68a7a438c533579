"""A token service for docker-registry (Docker Registry v2 authentication, Bearer tokens).

Tokens are RS256 JWTs that carry the signing certificate in `x5c`. openssl signs them, so no
cryptography package is needed for the tests."""

import base64
import hashlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from attrs import define, field

ISSUER = "interop-issuer"
SERVICE = "interop-service"
LIFETIME = 300


@define(eq=False)
class TokenService:
    """`requests` lists the targets asked for. With `credentials` (user:password) anybody else
    is refused; without, everybody gets a token, as on Docker Hub."""

    directory: Path
    credentials: str | None
    port: int = 0
    requests: list[str] = field(factory=list)

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

    def admits(self, authorization: str) -> bool:
        if self.credentials is None:
            return True
        return authorization == "Basic " + base64.b64encode(self.credentials.encode()).decode()

    def _bare_certificate(self) -> str:
        lines = self.certificate.read_text().splitlines()
        return "".join(line for line in lines if "-----" not in line)


@contextmanager
def token_service(directory: Path, credentials: str | None) -> Iterator[TokenService]:
    service = TokenService(directory, credentials)
    service.create_key()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            service.requests.append(self.path)
            if service.admits(self.headers.get("Authorization", "")):
                scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
                token = service.grant(scopes, int(time.time()))
                self._answer(200, {"token": token, "expires_in": LIFETIME})
            else:
                self._answer(401, {"details": "wrong user name or password"})

        def do_POST(self) -> None:
            """The OAuth2 form, in which containerd sends the password."""
            service.requests.append(self.path)
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            login = ":".join(form.get(name, [""])[0] for name in ("username", "password"))
            if service.credentials in (None, login):
                # RFC 6749 section 3.3: all in one, with spaces between.
                scopes = " ".join(form.get("scope", [])).split()
                token = service.grant(scopes, int(time.time()))
                self._answer(200, {"access_token": token, "expires_in": LIFETIME})
            else:
                self._answer(401, {"details": "wrong user name or password"})

        def log_message(self, *args: object) -> None:
            pass

        def _answer(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
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
