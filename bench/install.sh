#!/bin/sh
# Installs what the comparison needs of Debian's packages, as root. What is missing elsewhere is
# said by the comparison itself, which then leaves that server or row out.
set -eu
list="nginx-light varnish docker-registry wrk curl skopeo strace openssl util-linux"

command -v dpkg-query >/dev/null || { echo "bench: no Debian system; wanted: $list"; exit 0; }
missing=""
for package in $list; do
    state="$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)"
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "bench: not root, left out:$missing"
    exit 0
fi

# Nothing may start by itself.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
echo "bench: installing$missing"
apt-get -qq install --yes --no-install-recommends $missing >/dev/null
