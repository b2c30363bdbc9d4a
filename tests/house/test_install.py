"""What the README says about installing works: from an address of git, as `uv tool install git+URL` and pip do it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, Console
from tests.kits.installed_packages import list_installed
from tests.kits.paths import PACKAGE, ROOT
from tests.kits.source_files import list_tracked_files


@pytest.mark.slow
def test_an_install_from_a_git_address_brings_the_command(tmp_path: Path) -> None:
    """The dependencies are those of this environment, so no package index is asked."""
    source, target = tmp_path / "source", tmp_path / "target"
    for file in list_tracked_files():
        copy = source / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    git = shutil.which("git") or "git"
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*author, "commit", "-q", "-m", "Start"]):
        subprocess.run([git, "-C", str(source), *words], check=True, stdin=subprocess.DEVNULL)
    options = ["-q", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, f"git+{source.as_uri()}"], check=True)
    program = target / "bin" / "hf-gate"
    said = subprocess.run(
        [sys.executable, str(program), "version"], env={**os.environ, "PYTHONPATH": str(target)}, cwd=tmp_path,
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert re.match(r"hf-gate \d+\.\d+", said)


def test_no_page_tells_to_install_a_package_that_is_not_published() -> None:
    """Take this test out with the first release on a package index, and put the short commands back."""
    needs_an_index = re.compile(r"uvx hf-gate|(pip|pipx|tool) install ['\"]?hf-gate(?!\S* @)")
    pages = [path for path in list_tracked_files() if path.suffix == ".md" and "decisions" not in path.parts]
    assert [path.name for path in pages if needs_an_index.search(path.read_text("utf-8"))] == []


def test_no_test_makes_the_source_of_the_checkout_importable() -> None:
    """`make test-pythons` would test the checkout then, and not the wheel."""
    files = [path for path in list_tracked_files() if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")]
    names = {path.name for path in files if re.search(r"PYTHONPATH.*['\"]src", path.read_text("utf-8"))}
    assert names == set()


_MAX_PACKAGES: Final = 32
_MAX_MEGABYTES: Final = 75  # with compiled bytecode


def test_a_plain_install_stays_within_its_number_of_packages_and_its_size() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    packages = {"hf-gate"} | list_installed(project["dependencies"])
    size = sum(file.stat().st_size for name in packages for file in _files_of(name))
    own = [path for path in list_tracked_files() if path.is_relative_to(PACKAGE)]  # an editable install lists no files
    size += sum(path.stat().st_size for path in own)
    assert len(packages) <= _MAX_PACKAGES, sorted(packages)
    assert size / 1e6 <= _MAX_MEGABYTES
    assert packages.isdisjoint({"joserfc", "cryptography", "psycopg", "apprise", "openpyxl"})


def _files_of(name: str) -> list[Path]:
    files = [Path(str(file.locate())) for file in distribution(name).files or ()]
    return [file for file in files if file.is_file()]


_WITHOUT_JOSERFC = (
    "import sys\n"
    "sys.modules['joserfc'] = None  # as if it were not installed\n"
    "from hf_gate.command_line.main import main\n"
    "main()"
)


def test_a_desk_without_the_package_for_sign_in_names_the_extra_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with LocalHub(requests=0) as hub:
        console = Console(hub)
        assert console.run("init", DATASET).code == 0
        config = tmp_path / "hf-gate.yaml"
        config.write_text(
            config.read_text("utf-8") + "sign_in: {client_id: env:DESK_ID, client_secret: env:DESK_SECRET}\n"
        )
        environment = console.environment({"DESK_ID": "desk", "DESK_SECRET": "hf_local_secret"})
        with subprocess.Popen(
            [sys.executable, "-c", _WITHOUT_JOSERFC, "ui", "--no-open", "--json", "--port", "0"],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["url"]
            process.send_signal(signal.SIGTERM)
            _, messages = process.communicate(timeout=60)
    warning = "sign-in with the Hub is off: sign-in with the Hub needs the package joserfc. Install hf-gate with the extra [sign-in]."
    assert [line for line in messages.splitlines() if "joserfc" in line] == [f"Warning: {warning}"]
    assert process.returncode in {0, 143}


def test_the_local_hub_without_the_package_for_sign_in_says_so() -> None:
    script = (
        "import sys, urllib.request, urllib.error\n"
        "sys.modules['joserfc'] = None\n"
        "from hf_gate.testing import LocalHub\n"
        "with LocalHub(requests=0) as hub:\n"
        "    try:\n"
        "        urllib.request.urlopen(hub.url + '/oauth/jwks')\n"
        "    except urllib.error.HTTPError as answer:\n"
        "        print(answer.code, answer.read().decode())\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.startswith("501 ")
    assert "extra [sign-in]" in shown.stdout
