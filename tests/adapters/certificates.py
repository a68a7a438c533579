"""A certificate of the tests' own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and registry.example that nobody else has signed, and its key."""
    if shutil.which("openssl") is None:
        reason = "openssl, which makes the certificate, is not installed"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    place = tmp_path_factory.mktemp("tls")
    cert, key = place / "cert.pem", place / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    request += ["-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", str(key)]
    request += ["-out", str(cert), "-addext", "subjectAltName=IP:127.0.0.1,DNS:registry.example"]
    subprocess.run(request, check=True, capture_output=True)
    return cert, key
