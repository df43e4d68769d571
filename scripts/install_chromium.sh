#!/usr/bin/env bash
# Find a Chromium for tests/ui and print its path; install Debian's when there is none and we may.
#   scripts/install_chromium.sh            exit 0 and the path, or 1 and how to get it
set -euo pipefail

find_browser() {
    local name
    if [[ -n ${STRIPE_APP_CHROMIUM:-} ]]; then
        [[ -x $STRIPE_APP_CHROMIUM ]] && { echo "$STRIPE_APP_CHROMIUM"; return 0; }
        echo "STRIPE_APP_CHROMIUM=$STRIPE_APP_CHROMIUM is no program." >&2
        return 1
    fi
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" && return 0
    done
    return 1
}

explain() {
    cat >&2 <<TEXT
No Chromium for the tests of the pages (tests/ui), and $1.
    Debian and Ubuntu    sudo apt-get install chromium fonts-liberation fonts-dejavu-core
    Fedora               sudo dnf install chromium
    or name one          export STRIPE_APP_CHROMIUM=/path/to/chrome
TEXT
    exit 1
}

find_browser && exit 0
[[ -z ${STRIPE_APP_CHROMIUM:-} ]] || exit 1

command -v apt-get >/dev/null || explain "this machine has no apt-get to install it with"
as_root=()
if ((EUID != 0)); then
    { command -v sudo && sudo -n true; } >/dev/null 2>&1 ||
        explain "installing it needs root (or a sudo that asks for no password)"
    as_root=(sudo -n)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing Debian's Chromium for the tests of the pages …" >&2
# Fonts: without any, Chromium draws boxes, and the tests measure text.
if ! { "${as_root[@]}" apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
        chromium fonts-liberation fonts-dejavu-core; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    explain "apt-get could not install it (its last words are above)"
fi
find_browser || explain "apt-get installed none"
