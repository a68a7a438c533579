"""Where it was measured, in words."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

GIB = 1024**3


def describe() -> dict[str, str]:
    """The machine and the versions of everything that took part; nothing about its owner."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GIB:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "distcache": _version("distcache-registry"),
        "trio": _version("trio"),
        "nginx": _said("nginx", "-v").rpartition("/")[2],
        "varnish": _said("varnishd", "-V").partition("\n")[0].partition(" revision")[0],
        "drayage": _version("drayage"),
        "docker-registry": _said("docker-registry", "--version").rpartition(" ")[2],
        "wrk": _said("wrk", "-v").partition("\n")[0],
        "curl": _said("curl", "-V").partition(" (")[0],
    }


def load() -> float:
    """Processes that wanted a core in the last minute, on average, besides ours: more than a
    few tenths and the figures are noise."""
    return os.getloadavg()[0]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "not installed"
    return (done.stdout or done.stderr).strip()
