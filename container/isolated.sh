#!/bin/sh
# Runs a command in the mounted root of an image as docker would with --read-only --network none
# --user USER --tmpfs /tmp:size=64m, for engines that only build. Needs root:
#   unshare --mount --net --pid --fork --kill-child isolated.sh ROOT USER DATA OUT COMMAND...
# The root and /data are read-only, /out is not; COMMAND sees this environment unless it clears it.
set -eu

root=$1
user=$2
data=$3
out=$4
shift 4

mount --bind "$root" "$root"
mount --bind "$data" "$root/data"
mount -o remount,bind,ro "$root/data"
mount --bind "$out" "$root/out"
mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev tmpfs "$root/tmp"
mount -t proc proc "$root/proc"

mount -t tmpfs -o size=64k,mode=755,nosuid tmpfs "$root/dev"
for device in null zero full random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
mount -o remount,bind,ro "$root/dev"
mount -o remount,bind,ro "$root"

exec setpriv --no-new-privs --inh-caps=-all \
    chroot --userspec="$user:$user" --groups= "$root" "$@"
