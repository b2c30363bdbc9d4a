#!/bin/sh
# Sees to it that the browser tests find a Chromium: best the one without windows, which needs a quarter of the processor
# time of a whole browser. As root on Debian it installs the package; elsewhere the system's browser does.
# Without one the browser tests say that they skip, and why; nothing else needs it.
has_browser() {
    for name in chromium-headless-shell chromium chromium-browser google-chrome-stable google-chrome; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    return 1
}
get() {
    apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=15 "$@" >/dev/null 2>&1
}
install() {
    get install -y --no-install-recommends "$1" || { get update && get install -y --no-install-recommends "$1"; }
}

command -v chromium-headless-shell >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    install chromium-headless-shell || has_browser || install chromium
fi
has_browser && exit 0
echo "make: no Chromium here, so the browser tests will skip; on Debian or Ubuntu: apt-get install chromium" >&2
