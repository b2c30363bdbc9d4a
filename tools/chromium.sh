#!/bin/sh
# Sees to it that the browser tests find a Chromium: the system's, else Debian's package when we are root there.
# Without one the browser tests say that they skip, and why; nothing else needs it.
for name in chromium chromium-browser google-chrome-stable google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 && exit 0
fi
echo "make: no Chromium here, so the browser tests will skip; on Debian or Ubuntu: apt-get install chromium" >&2
