"""Builds what a release consists of into dist/: wheel, sdist, a list of all packages (CycloneDX) and the checksums.

    python tools/release.py

Wheel and sdist are built twice, from copies of the last commit in two folders. They must be equal byte for byte, and the
wheel that is built from the sdist too. So anybody who has the commit can build the files again and compare. The list of
packages is read from an environment that holds the locked dependencies and the wheel, with all extras, as the container
image does.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DIST: Final = ROOT / "dist"
ENVIRONMENT: Final = ROOT / "build" / "release-env"
GENERATOR: Final = ROOT / ".venv-release" / "bin" / "cyclonedx-py"


def copy_commit(folder: Path) -> Path:
    """Write the files of the last commit into a folder. What is not committed is not released."""
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    git = shutil.which("git") or "git"
    subprocess.run([git, "-C", str(ROOT), "archive", "-o", str(archive), "HEAD"], check=True, stdin=subprocess.DEVNULL)
    shutil.unpack_archive(archive, folder)
    return folder


def build(source: Path, target: Path, *formats: str) -> dict[str, bytes]:
    """Build the named formats, and return the bytes of each file by its name."""
    options = [f"-t{format_name}" for format_name in formats]
    environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(target), *options],
        cwd=source, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return {path.name: path.read_bytes() for path in sorted(target.iterdir())}


def build_reproducibly(folder: Path) -> dict[str, bytes]:
    """Return wheel and sdist of the last commit; exit with one line if two builds differ."""
    first = build(copy_commit(folder / "a"), folder / "a-dist", "wheel", "sdist")
    second = build(copy_commit(folder / "another" / "path"), folder / "b-dist", "wheel", "sdist")
    (sdist,) = (folder / "a-dist").glob("*.tar.gz")
    shutil.unpack_archive(sdist, folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    from_sdist = build(unpacked, folder / "c-dist", "wheel")
    differing = [name for name in first if first[name] != second.get(name)]
    differing += [f"{name} from the sdist" for name in from_sdist if from_sdist[name] != first.get(name)]
    if differing:
        sys.exit(f"make: two builds of one commit differ: {', '.join(differing)}. Compare them with diffoscope")
    return first


def list_packages(wheel: Path, target: Path) -> None:
    """Write the list of what an installation with all extras holds: versions, licences, and who needs whom."""
    bootstrap = [sys.executable, "tools/bootstrap.py", str(ENVIRONMENT.relative_to(ROOT)), "requirements/image.txt"]
    subprocess.run(bootstrap, cwd=ROOT, check=True)
    python = ENVIRONMENT / "bin" / "python"
    options = ["-q", "--disable-pip-version-check", "--no-deps", "--no-index", "--force-reinstall"]
    subprocess.run([python, "-m", "pip", "install", *options, str(wheel)], check=True, stdin=subprocess.DEVNULL)
    subprocess.run(
        [GENERATOR, "environment", "--pyproject", "pyproject.toml", "--output-reproducible", "-o", target, python],
        cwd=ROOT, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def main() -> None:
    """Build the files of a release, and print their checksums."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in build_reproducibly(Path(folder)).items():
            (DIST / name).write_bytes(content)
    (wheel,) = DIST.glob("*.whl")
    list_packages(wheel, DIST / f"{'-'.join(wheel.name.split('-')[:2])}.cdx.json")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")
    print("\n".join(sums))


if __name__ == "__main__":
    main()
