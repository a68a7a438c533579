#!/bin/sh
# Installs what is missing of packages.txt, on a Debian-like machine and as root. Elsewhere it
# says what is missing; the tests that need it then skip, or fail with DISTCACHE_INTEROP=required.
set -eu
list="$(dirname "$0")/packages.txt"

if ! command -v dpkg-query >/dev/null; then
    echo "packages: no Debian system; the tests use what is on the PATH of:" $(cat "$list")
    exit 0
fi
missing=""
for package in $(cat "$list"); do
    state="$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)"
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "packages: not root, left out:$missing"
    exit 0
fi

# Nothing may start by itself: docker.io and docker-registry bring services.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
known=""
for package in $missing; do
    # Not every system of this kind has all of them.
    if apt-cache show "$package" >/dev/null 2>&1; then known="$known $package"
    else echo "packages: not to be had here: $package"; fi
done
[ -n "$known" ] || exit 0
echo "packages: installing$known"
apt-get -qq install --yes --no-install-recommends $known >/dev/null
