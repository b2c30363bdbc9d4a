"""Finds reference files that may be beside this checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.paths import ROOT


def shared_file(name: str) -> Path:
    """Return the path of a reference file beside the checkout; skip the test and say what is missing if it is not there."""
    path = ROOT.parent / "shared" / name
    if not path.exists():
        pytest.skip(f"../shared/{name} is not beside this checkout: what it witnesses is not checked here")
    return path
