#!/bin/sh
# What the Dockerfile does, in a root of its own without Docker: Debian as debootstrap makes it, the
# program by install.sh, then the demo in it. Prints size, start and memory. Needs root, debootstrap
# and the network: deploy/image-check.sh WHEEL [FOLDER]
set -eu
[ $# -ge 1 ] && [ -f "$1" ] || { echo "Usage: deploy/image-check.sh WHEEL [FOLDER]" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "image-check.sh: chroot needs root." >&2; exit 1; }
command -v debootstrap > /dev/null || { echo "image-check.sh: there is no debootstrap." >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd) wheel=$(realpath "$1") root=${2:-$(mktemp -d /tmp/threadline-root-XXXXXX)}
mkdir -p "$root"

# As the image's first two stages: with what installs, and without.
make_root() {
    [ -e "$1/etc/debian_version" ] || debootstrap --variant=minbase --include="$2" bookworm "$1" > "$1.log"
    # What a container engine gives every container.
    printf '127.0.0.1 localhost\n' > "$1/etc/hosts"
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    mkdir -p "$1/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
}

# In a mount namespace of its own, so that nothing stays mounted.
inside() {
    where=$1
    shift
    ROOT=$where unshare --mount --pid --fork sh -c '
        mount -t proc proc "$ROOT/proc"
        mount --rbind /dev "$ROOT/dev"
        exec chroot "$ROOT" env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/data \
            https_proxy="${https_proxy:-}" THREADLINE_DATA=/data THREADLINE_HOST=0.0.0.0 "$@"' sh "$@"
}

make_root "$root/build" python3,python3-venv,ca-certificates
make_root "$root/image" python3,ca-certificates,tzdata
rm -rf "$root/build/deploy" "$root/build/dist" "$root/build/opt/threadline" "$root/image/opt/threadline"
cp -r "$here" "$root/build/deploy"
mkdir -p "$root/build/dist"
cp "$wheel" "$root/build/dist/"
inside "$root/build" /deploy/install.sh --program "/dist/$(basename "$wheel")"
cp -a "$root/build/opt/threadline" "$root/image/opt/threadline"

# As the last stage, and then as its user, with nothing that it may write but /data and /tmp.
inside "$root/image" sh -c '
    id threadline > /dev/null 2>&1 || useradd --uid 10001 --user-group --no-create-home --home-dir /data threadline
    rm -rf /data && install -d -m 0700 -o threadline -g threadline /data
    ln -sfn /opt/threadline/current/bin/threadline /usr/local/bin/threadline
    rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*'
echo "size: $(du -sm "$root/image/opt/threadline" | cut -f1) MB program, $(du -smx "$root/image" | cut -f1) MB in all"
! inside "$root/image" sh -c 'command -v gcc cc pip pip3' || { echo "image-check.sh: a compiler or pip is left." >&2; exit 1; }
cp "$here/image_check.py" "$root/image/tmp/image_check.py"
inside "$root/image" setpriv --reuid 10001 --regid 10001 --clear-groups \
    /opt/threadline/current/bin/python /tmp/image_check.py
rm "$root/image/tmp/image_check.py"

# A service on a machine, without the systemd that would start it.
rm -rf "$root/build/opt/threadline" "$root/build/etc/threadline" "$root/build/var/lib/threadline"
inside "$root/build" env -u THREADLINE_DATA -u THREADLINE_HOST /deploy/walk.sh "/dist/$(basename "$wheel")"
