#!/bin/sh
# machine.sh DIRECTORY: boots systemd over this machine's own files until it gets SIGTERM. It has
# its own processes, mounts and control groups, and shares the network. What it writes is in memory
# and goes with it; DIRECTORY/files is laid over its root, and DIRECTORY/binds names what is shown
# elsewhere: a directory and its place, one pair a line.
set -eu
directory=$1
root=$directory/root

if [ "${2:-}" = inside ]; then
    mkdir -p "$root" "$directory/layer"
    mount -t tmpfs tmpfs "$directory/layer"
    mkdir "$directory/layer/upper" "$directory/layer/work"
    mount -t overlay overlay "$root" \
        -o "lowerdir=/,upperdir=$directory/layer/upper,workdir=$directory/layer/work"
    # systemd moves mounts about, and expects to be able to.
    mount --make-rshared "$root"

    # Of what this machine starts by itself only the journal is wanted.
    find "$root/etc/systemd/system" "$root/usr/lib/systemd/system" -path '*.wants/*' \
        ! -name 'systemd-journald*' -delete
    : >"$root/etc/fstab"
    cp -r "$directory/files/." "$root/"
    while read -r from to; do
        mkdir -p "$root$to"
        mount --rbind "$from" "$root$to"
    done <"$directory/binds"

    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for node in null zero full random urandom tty; do
        : >"$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    # PrivateDevices= copies it.
    ln -s pts/ptmx "$root/dev/ptmx"
    exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "$root" /lib/systemd/systemd --unit=machine.target --log-target=journal
fi

# The control group that is the machine's root, and what systemd makes below it, are removed here.
mkdir -p "$directory/groups"
mount -t cgroup2 cgroup2 "$directory/groups"
group=$(mktemp -d "$directory/groups/distcache-XXXXXX")
(
    # It writes the number of whoever reads it: this shell's, not a command's.
    sh -c 'echo $PPID' >"$group/cgroup.procs"
    exec unshare --pid --ipc --uts --cgroup --fork --kill-child sh "$0" "$directory" inside
) &
machine=$!
# unshare takes no heed of SIGTERM; with it go all processes of the machine.
trap 'kill -KILL "$machine"' TERM
# The first wait is over when the signal comes, the second when unshare has ended.
wait "$machine" || wait "$machine" || true
while grep -q '^populated 1' "$group/cgroup.events"; do sleep 0.05; done
find "$group" -depth -type d -exec rmdir {} +
