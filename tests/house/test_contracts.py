"""The contracts of import-linter bite: each violation, planted into a copy of the package, is found by the contract it is for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.paths import PACKAGE, ROOT

pytestmark = pytest.mark.slow

VIOLATIONS = {
    "the core looks upstairs": ("rooms", "core/requests.py", "from hf_gate.hub.protocol import endpoints"),
    "the client uses the local Hub": ("rooms", "hub/client.py", "import hf_gate.localhub"),
    "a room uses a room above it": (
        "rooms",
        "grants/service/ends/grant_ends.py",
        "from hf_gate.decisions.service import runs",
    ),
    "the local Hub uses the client": ("localhub", "localhub/records.py", "from hf_gate.hub import client"),
    "a room that is on no plan": ("rooms", "attic/__init__.py", '"""Nobody\'s room."""'),
    "SQL decides": ("rows", "privacy/rows/erasure.py", "from hf_gate.privacy.service import retention"),
    "a record reads the store": ("records", "decisions/records.py", "from hf_gate.store import store"),
    "a service knows a page": ("rooms", "reports/service/overview.py", "from hf_gate.desk.reports import metrics"),
    "a driver decides": ("drivers", "verdicts/drivers/profile.py", "from hf_gate.verdicts.service import evaluation"),
    "a page writes SQL": ("front", "desk/help_page.py", "from hf_gate.store import sql"),
    "the local Hub opens httpx2": ("only-httpx2", "localhub/__init__.py", "import httpx2"),
    "the local Hub uses the official client": (
        "only-huggingface-hub",
        "localhub/__init__.py",
        "import huggingface_hub",
    ),
    "the client serves": ("only-uvicorn", "hub/__init__.py", "import uvicorn"),
    "the client prints": ("only-terminal", "hub/__init__.py", "def later():\n    import click.termui"),
}


def _lint(source: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    # import-linter looks for the package in the folder where it runs first
    ask = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    asked = [word for contract in contracts for word in ("--contract", contract)]
    command = [sys.executable, "-c", ask, "--no-cache", *asked, str(ROOT / "pyproject.toml")]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)


def _copy_package(folder: Path) -> Path:
    return shutil.copytree(PACKAGE, folder / "hf_gate", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def copy_without_violation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package in which all of these contracts are kept."""
    folder = tmp_path_factory.mktemp("clean")
    _copy_package(folder)
    verdict = _lint(folder, *sorted({contract for contract, _, _ in VIOLATIONS.values()}))
    assert verdict.returncode == 0, verdict.stdout
    return folder


@pytest.mark.usefixtures("copy_without_violation")
@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_contract_finds(what: str, tmp_path: Path) -> None:
    contract, module, line = VIOLATIONS[what]
    planted = _copy_package(tmp_path) / module
    planted.parent.mkdir(exist_ok=True)
    with planted.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    verdict = _lint(tmp_path, contract)
    assert verdict.returncode == 1, verdict.stdout
    assert "BROKEN" in verdict.stdout
