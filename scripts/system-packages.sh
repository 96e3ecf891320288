#!/bin/sh
# Installs the system packages that baking and booting need, or those that are named: Debian's own, by apt.
# Says nothing when all are there.
set -eu

packages="mmdebstrap debian-archive-keyring qemu-system-x86 swtpm swtpm-tools python3-venv iproute2 util-linux mount git zstd"
[ $# = 0 ] || packages="$*"

if ! command -v dpkg-query >/dev/null; then
    tools="mmdebstrap qemu-system-x86_64 swtpm swtpm_setup unshare"
    for tool in ${*:-$tools}; do
        command -v "$tool" >/dev/null || missing="${missing:-} $tool"
    done
    [ -z "${missing:-}" ] && exit 0
    echo "error: this system has no apt; install these yourself and run again:$missing" >&2
    exit 1
fi

missing=""
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

sudo=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "error: run as root, or install sudo; missing packages:$missing" >&2; exit 1; }
    sudo="sudo"
fi
echo "== system packages:$missing"
$sudo apt-get -q update
DEBIAN_FRONTEND=noninteractive $sudo apt-get -q -y install --no-install-recommends $missing
