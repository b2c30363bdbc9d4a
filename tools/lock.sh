#!/bin/sh
# Writes requirements/*.txt: every version and hash that make installs, without any address.
#   tools/lock.sh              keeps the versions that are locked, adds and removes what pyproject.toml asks
#   tools/lock.sh --upgrade    takes the newest of everything
# One file serves Python 3.11 and later on Linux and macOS. Needs uv ($UV or on the PATH; else pip puts one into build/uv).
set -eu
cd "$(dirname "$0")/.."

uv=${UV:-uv}
if ! command -v "$uv" >/dev/null 2>&1; then
    python=$(sh tools/find-python.sh)
    [ -x build/uv/bin/uv ] || { "$python" -m venv build/uv && build/uv/bin/pip install -q uv; }
    uv=build/uv/bin/uv
fi
export UV_PYTHON_DOWNLOADS=never

lock() {
    out=$1
    shift
    "$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --output-file "$out" "$@"
    if grep -n '://' "$out"; then
        echo "$out names an address: it would tie every clone to one index" >&2
        exit 1
    fi
}

lock requirements/run.txt "$@" --group build pyproject.toml
lock requirements/dev.txt "$@" --group dev --constraints requirements/run.txt pyproject.toml
lock requirements/image.txt "$@" --group build --extra all --constraints requirements/dev.txt pyproject.toml
lock requirements/docs.txt "$@" --group docs --constraints requirements/dev.txt pyproject.toml
lock requirements/release.txt "$@" --group release
# The test tools beside the lowest and the newest versions that pyproject.toml allows (tools/pythons.py).
mkdir -p build
"$uv" pip compile -q --universal --python-version 3.11 --no-header --no-annotate --resolution lowest-direct \
    --extra postgres --extra notify --extra excel --output-file build/lowest.txt pyproject.toml
lock requirements/test-lowest.txt "$@" --group test --constraints build/lowest.txt pyproject.toml
lock requirements/test-newest.txt "$@" --group test --constraints requirements/dev.txt pyproject.toml
for witness in hf-2.0 hf-2 hf-1; do
    lock "requirements/witness-$witness.txt" "$@" "requirements/witness-$witness.in"
done
