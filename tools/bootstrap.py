"""Makes one virtual environment hold exactly one hash-locked requirements file, with plain venv and pip; when it cannot, says in one line what to do.

    python tools/bootstrap.py .venv requirements/run.txt --with-checkout

A stamp in the environment keeps the digest of what was installed, so that a second run costs nothing.
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

# What pip says, and what the reader does about it. First match wins.
REMEDIES = (
    ("DO NOT MATCH THE HASHES", "a downloaded file is not the one that is locked. Nothing of it was installed; try again, or ask the index's keeper"),
    ("No space left on device", "the disk is full. Make room and run make again"),
    ("requires a different Python", "this Python does not fit what is locked. Name another one: make PYTHON=/path/to/python3.12"),
    ("is not a supported wheel", "there is no built package for this machine. See the log"),
    ("CERTIFICATE_VERIFY_FAILED", "pip does not trust the package index's certificate. Set PIP_CERT to your CA bundle and run make again"),
    ("407 Proxy", "the proxy wants a sign-in. Put it into HTTPS_PROXY and run make again"),
    ("No matching distribution", "pip found no package index that has it. Check the network, or set PIP_INDEX_URL or HTTPS_PROXY, and run make again"),
)  # fmt: skip
UNKNOWN = "pip failed. See the log"


def digest_of(*files: Path) -> str:
    """One digest over the interpreter and what is asked of it."""
    seal = hashlib.sha256(f"{sys.version_info[:3]} {sys.platform} {ROOT}".encode())
    for file in files:
        seal.update(file.read_bytes())
    return seal.hexdigest()


def give_up(line: str) -> None:
    """Ends with one line for a person."""
    sys.exit(f"make: {line}")


def make_environment(folder: Path) -> Path:
    """The environment's Python, with pip; one of another Python version is made anew."""
    python = folder / "bin" / "python"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not (folder / "lib" / f"python{version}").is_dir() or not python.exists():
        print(f"making {folder.name} with Python {version}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            venv.create(folder, with_pip=True, symlinks=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            shutil.rmtree(folder, ignore_errors=True)
            give_up(
                f"{folder.name} cannot be made: {problem}. On Debian or Ubuntu: apt-get install python{version}-venv"
            )
    elif subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        subprocess.run([python, "-m", "ensurepip", "--default-pip"], capture_output=True, check=True)
    return python


def pip_install(python: Path, log: Path, *arguments: str) -> None:
    """Runs pip with its words in a log; a failure ends with the remedy."""
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
    """Installs what the stamp does not yet vouch for."""
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
