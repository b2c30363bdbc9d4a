#!/bin/sh
# Prints the first Python >= 3.11 that can make virtual environments ($PYTHON, else the usual names), or says what to install.
# A name on the PATH proves nothing (version managers leave stubs there), so each one is asked.
old="" bare=""
for name in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
    version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if ! "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        old="$old $name ($version)"
    elif ! "$name" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        bare=${bare:-"$name $version"}
    else
        "$name" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done
if [ -n "$bare" ]; then
    echo "make: ${bare% *} cannot make virtual environments. Install its venv module (Debian, Ubuntu: apt-get install python${bare#* }-venv), or name another one: make PYTHON=/path/to/python3" >&2
elif [ -n "$old" ]; then
    echo "make: hf-gate needs Python 3.11 or later; found only$old. Install python3 3.11+, or name it: make PYTHON=/path/to/python3" >&2
else
    echo "make: no Python found (looked for ${PYTHON:-python3.13, python3.12, python3.11, python3}). Install Python 3.11 or later, or name it: make PYTHON=/path/to/python3" >&2
fi
exit 1
