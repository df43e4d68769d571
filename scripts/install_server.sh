#!/usr/bin/env bash
# Find a server program that tests start by themselves, and print its path; install Debian's package
# when there is none and we may. Nothing is started and no port is opened.
#   scripts/install_server.sh mariadbd mariadb-server-core
set -euo pipefail
program=$1 package=$2
PATH=$PATH:/usr/sbin:/usr/local/sbin

explain() {
    echo "No $program for the tests that need one, and $1. On Debian and Ubuntu:" >&2
    echo "    sudo apt-get install --no-install-recommends $package" >&2
    exit 1
}

command -v "$program" && exit 0
command -v apt-get >/dev/null || explain "this machine has no apt-get to install it with"
as_root=()
if ((EUID != 0)); then
    { command -v sudo && sudo -n true; } >/dev/null 2>&1 ||
        explain "installing it needs root (or a sudo that asks for no password)"
    as_root=(sudo -n)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing Debian's $package for the tests …" >&2
if ! { "${as_root[@]}" apt-get update -q && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qy --no-install-recommends "$package"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    explain "apt-get could not install it (its last words are above)"
fi
command -v "$program" || explain "apt-get installed none"
