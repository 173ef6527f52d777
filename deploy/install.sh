#!/bin/sh
# Installs Threadline on this machine: the program, a user, settings and a service. The Dockerfile
# runs the same script with --program. Run it again with a newer wheel to upgrade, and with --back
# to return to the version before.
set -eu

usage() {
    cat <<'TEXT'
Usage: deploy/install.sh [OPTIONS] SOURCE

SOURCE is a wheel of Threadline, or a checkout of it.

  --program       Only the program: no user, no settings, no service.
  --full          Keep what a server does not use (pandas, pyarrow, tests of libraries).
  --to DIR        Where the program goes. Default: /opt/threadline.
  --python FILE   The Python to use, 3.11 or newer. Default: python3.
  --back          Return to the version that was installed before. Takes no SOURCE.
  --check         Only say whether Threadline runs on this machine. Takes no SOURCE.
  --dry-run       Only say what would be done.
TEXT
}

PROGRAM_ONLY= FULL= BACK= CHECK= DRY= SOURCE= TO=/opt/threadline PYTHON=python3
USER_NAME=threadline DATA=/var/lib/threadline ETC=/etc/threadline
HERE=$(cd "$(dirname "$0")" && pwd)

# What chDB's wheel asks for and a server never imports (frames for notebooks), and what only
# installs. Then folders of tests and headers.
UNUSED="pandas pyarrow dateutil python_dateutil datastore setuptools pkg_resources _distutils_hack
    distutils-precedence.pth pip"
UNUSED_DIRS="tests include"

say() { printf 'install.sh: %s\n' "$1"; }
fail() { printf 'install.sh: %s\n' "$1" >&2; exit 1; }
# Do it, or only say so.
run() { if [ -n "$DRY" ]; then printf '  %s\n' "$*"; else "$@"; fi; }

while [ $# -gt 0 ]; do
    case $1 in
        --program) PROGRAM_ONLY=1 ;;
        --full) FULL=1 ;;
        --back) BACK=1 ;;
        --check) CHECK=1 ;;
        --dry-run) DRY=1 ;;
        --to) [ $# -gt 1 ] || fail "--to needs a folder."; TO=$2; shift ;;
        --python) [ $# -gt 1 ] || fail "--python needs a file."; PYTHON=$2; shift ;;
        --help | -h) usage; exit 0 ;;
        -*) usage >&2; fail "There is no option $1." ;;
        *) [ -z "$SOURCE" ] || fail "One SOURCE only, not $SOURCE and $1."; SOURCE=$1 ;;
    esac
    shift
done
case $TO in /*) ;; *) fail "--to $TO: write a path that begins with a slash." ;; esac

# The engine's wheels: glibc on Linux, and macOS, each on x86-64 and arm64.
check_machine() {
    system=$(uname -s) machine=$(uname -m)
    case $machine in
        x86_64 | amd64 | aarch64 | arm64) ;;
        *) fail "There is no engine for $machine. Threadline's server runs on x86-64 and arm64." ;;
    esac
    case $system in
        Linux)
            if ls /lib/ld-musl-* > /dev/null 2>&1 && ! getconf GNU_LIBC_VERSION > /dev/null 2>&1; then
                fail "This is a Linux with musl (Alpine). There is no engine for it: take Debian, Ubuntu, Fedora or another Linux with glibc, or Threadline's container image."
            fi ;;
        Darwin) ;;
        *) fail "There is no engine for $system. On Windows take WSL or the container image." ;;
    esac
    command -v "$PYTHON" > /dev/null || fail "There is no $PYTHON. Install Python 3.11 or newer."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || fail "$PYTHON is $("$PYTHON" -V 2>&1). Threadline needs Python 3.11 or newer; name one with --python."
    "$PYTHON" -c 'import ensurepip, venv' 2> /dev/null \
        || fail "$PYTHON cannot make environments. On Debian and Ubuntu: apt-get install python3-venv."
}

# Each version has a folder of its own; `current` is the one that runs, `previous` the one before.
install_program() {
    version_dir=$TO/versions/$(date -u +%Y%m%dT%H%M%SZ)-$$
    say "Installing $SOURCE into $version_dir ..."
    # What did not get to its end leaves nothing.
    [ -n "$DRY" ] || trap 'rm -rf "$version_dir"' EXIT
    run mkdir -p "$TO/versions"
    run "$PYTHON" -m venv "$version_dir"
    run "$version_dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        "$SOURCE[server,postgres]"
    [ -n "$FULL" ] || run leave_out_unused "$version_dir"
    run "$version_dir/bin/threadline" --version
    run "$version_dir/bin/python" "$HERE/check_installed.py"
    [ ! -L "$TO/current" ] || run point "$TO/previous" "$(readlink "$TO/current")"
    run point "$TO/current" "$version_dir"
    trap - EXIT
    run drop_older
}

leave_out_unused() {
    site=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    for name in $UNUSED; do
        rm -rf "${site:?}/$name" "$site/$name.libs" "$site/$name"-*.dist-info
    done
    for name in $UNUSED_DIRS; do
        find "$site" -type d -name "$name" -prune -exec rm -rf {} +
    done
    # Builds for another kind of Python, and for other versions.
    rm -f "$site"/zstandard/_cffi*.so
    minor=$("$1/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    find "$site/chdb" -name 'libpybind11nonlimitedapi_chdb_3.*.so' ! -name "*_$minor.so" -delete
    find "$site" \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.a' \) -delete
    rm -f "$1"/bin/pip* "$1"/bin/*activate* "$1"/bin/Activate*
}

point() { ln -sfn "$2" "$1.new" && mv -Tf "$1.new" "$1" 2> /dev/null || { rm -f "$1"; mv -f "$1.new" "$1"; }; }

drop_older() {
    for version in "$TO"/versions/*; do
        [ "$version" = "$(readlink "$TO/current")" ] || [ "$version" = "$(readlink "$TO/previous" || true)" ] \
            || rm -rf "$version"
    done
}

go_back() {
    [ -L "$TO/previous" ] || fail "There is no version before in $TO."
    was=$(readlink "$TO/current") before=$(readlink "$TO/previous")
    run point "$TO/current" "$before"
    run point "$TO/previous" "$was"
    say "$TO/current is $before again. Put the data of that time back before you start it: docs/upgrading.md."
}

install_service() {
    [ "$(id -u)" = 0 ] || fail "A service needs root. Run it with sudo, or take --program and a --to that is yours."
    command -v systemctl > /dev/null || say "There is no systemd here: the unit is written, and nothing starts it."
    if ! id "$USER_NAME" > /dev/null 2>&1; then
        run useradd --system --user-group --home-dir "$DATA" --shell /usr/sbin/nologin "$USER_NAME"
    fi
    run install -d -m 0700 -o "$USER_NAME" -g "$USER_NAME" "$DATA"
    run install -d -m 0755 "$ETC"
    if [ ! -e "$ETC/threadline.toml" ]; then
        run install -m 0640 -o root -g "$USER_NAME" "$HERE/threadline.toml" "$ETC/threadline.toml"
    fi
    run install -d -m 0755 /etc/systemd/system /usr/local/bin
    run install -m 0644 "$HERE/threadline.service" /etc/systemd/system/threadline.service
    run ln -sfn "$TO/current/bin/threadline" /usr/local/bin/threadline
    say "Installed. Look at $ETC/threadline.toml, then: systemctl daemon-reload && systemctl enable --now threadline"
}

check_machine
[ -z "$CHECK" ] || { say "Threadline's server runs on this machine ($(uname -s), $(uname -m), $("$PYTHON" -V))."; exit 0; }
[ -z "$BACK" ] || { go_back; exit 0; }
[ -n "$SOURCE" ] || { usage >&2; fail "SOURCE is missing."; }
[ -e "$SOURCE" ] || fail "There is no $SOURCE. Name a wheel, or a checkout of Threadline."
[ -n "$PROGRAM_ONLY" ] || [ "$(id -u)" = 0 ] || [ -n "$DRY" ] \
    || fail "A service needs root. Run it with sudo, or take --program and a --to that is yours."
install_program
if [ -n "$PROGRAM_ONLY" ]; then
    say "Installed: $TO/current/bin/threadline"
elif [ -n "$DRY" ] && [ "$(id -u)" != 0 ]; then
    say "As root it would make the user $USER_NAME, $DATA, $ETC/threadline.toml and the service."
else
    install_service
fi
