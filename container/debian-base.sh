#!/bin/sh
# Makes the Dockerfile's base image where no registry can be reached, from Debian's packages:
#   debian-base.sh ENGINE [ROOT]
# ENGINE is docker, podman or buildah. ROOT is a folder to make the system in, or one that
# debootstrap made before; without it, a temporary one. Needs root and debootstrap.
set -eu

engine=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=${2-$scratch/root}

if [ ! -e "$root/etc/debian_version" ]; then
    debootstrap --variant=minbase bookworm "$root" http://deb.debian.org/debian
fi

# what the slim image leaves out as well
cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<'END'
path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
END
# its package sources, and where it lists them
rm -f "$root/etc/apt/sources.list"
cat >"$root/etc/apt/sources.list.d/debian.sources" <<'END'
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
for folder in usr/share/doc usr/share/man usr/share/info usr/share/locale \
    var/lib/apt/lists var/cache/apt var/log; do
    rm -rf "${root:?}/$folder"
    mkdir -p "$root/$folder"
done

tar -C "$root" --exclude './proc/*' --exclude './sys/*' --exclude './dev/*' \
    -cf "$scratch/root.tar" .
printf 'FROM scratch\nADD root.tar /\nCMD ["bash"]\n' >"$scratch/Dockerfile"
mkdir "$scratch/context"
mv "$scratch/root.tar" "$scratch/Dockerfile" "$scratch/context"
"$engine" build --tag docker.io/library/debian:bookworm-slim "$scratch/context"
