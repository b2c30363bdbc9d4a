"""Installs exactly one hash-locked requirements file into a virtual environment, with plain venv and pip.

    python tools/bootstrap.py .venv requirements/run.txt --with-checkout

If that fails, it prints one line that says what to do. A stamp file with the digest of the installed requirements
makes further runs fast.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Text in pip's output, and the advice for it. The first match wins.
REMEDIES = (
    ("DO NOT MATCH THE HASHES", "a downloaded file does not match the locked hash. It was not installed. Try again, or ask the administrator of the index"),
    ("No space left on device", "the disk is full. Free disk space and run make again"),
    ("requires a different Python", "this Python version does not fit the lock file. Name another one: make PYTHON=/path/to/python3.12"),
    ("is not a supported wheel", "there is no wheel for this machine. See the log"),
    ("CERTIFICATE_VERIFY_FAILED", "pip does not trust the package index's certificate. Set PIP_CERT to your CA bundle and run make again"),
    ("407 Proxy", "the proxy requires a password. Put it into HTTPS_PROXY and run make again"),
    ("No matching distribution", "no package index has this package. Check the network, or set PIP_INDEX_URL or HTTPS_PROXY, and run make again"),
)  # fmt: skip
UNKNOWN = "pip failed. See the log"


def digest_of(*files: Path) -> str:
    """Return one digest of the interpreter and the files."""
    seal = hashlib.sha256(f"{sys.version_info[:3]} {sys.platform} {ROOT}".encode())
    for file in files:
        seal.update(file.read_bytes())
    return seal.hexdigest()


def give_up(line: str) -> None:
    """Exit with one line of advice."""
    sys.exit(f"make: {line}")


def make_environment(folder: Path) -> Path:
    """Return the environment's Python, with pip; create the environment if it is missing or of another version."""
    python = folder / "bin" / "python"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not (folder / "lib" / f"python{version}").is_dir() or not python.exists():
        print(f"creating {folder.name} with Python {version}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            venv.create(folder, with_pip=True, symlinks=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            shutil.rmtree(folder, ignore_errors=True)
            give_up(
                f"{folder.name} cannot be created: {problem}. On Debian or Ubuntu: apt-get install python{version}-venv"
            )
    elif subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        subprocess.run([python, "-m", "ensurepip", "--default-pip"], capture_output=True, check=True)
    return python


def pip_install(python: Path, log: Path, *arguments: str) -> None:
    """Run pip with its output in a log; exit with advice if it fails."""
    options = ("--disable-pip-version-check", "--no-input", "--retries", "2")
    command = [str(python), "-m", "pip", "install", *options, *arguments]
    quiet = {name: value for name, value in os.environ.items() if name not in {"PIP_USER", "PIP_TARGET", "PIP_PREFIX"}}
    with log.open("ab") as words:
        code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=words, stderr=words, env=quiet, check=False).returncode  # fmt: skip
    if code:
        said = log.read_text(errors="replace")
        remedy = next((remedy for needle, remedy in REMEDIES if needle in said), UNKNOWN)
        errors = [line for line in said.splitlines() if "ERROR" in line or "error:" in line]
        print(*errors[-3:], sep="\n", file=sys.stderr)
        give_up(f"{remedy} ({log.relative_to(ROOT)}).")


def main() -> None:
    """Install what the stamp does not cover yet."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("environment", type=Path)
    arguments.add_argument("lock", type=Path)
    arguments.add_argument("--with-checkout", action="store_true", help="also make hf-gate itself importable from here")
    given = arguments.parse_args()
    folder, lock = ROOT / given.environment, ROOT / given.lock
    asked = digest_of(lock, ROOT / "pyproject.toml", Path(__file__)) if given.with_checkout else digest_of(lock)
    stamp = folder / f"{lock.stem}.stamp"
    if not stamp.exists() or stamp.read_text() != asked:
        python = make_environment(folder)
        log = folder / "install.log"
        log.write_bytes(b"")
        print(f"installing {given.lock} into {folder.relative_to(ROOT)}", flush=True)
        pip_install(python, log, "--require-hashes", "--only-binary", ":all:", "-r", str(lock))
        if given.with_checkout:
            pip_install(python, log, "--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT))
        stamp.write_text(asked)
    stamp.touch()


if __name__ == "__main__":
    main()
