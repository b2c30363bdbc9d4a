"""Where the witnesses lie that a checkout may have beside it; a test that needs one skips, in words, when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


def shared_file(name: str) -> Path:
    """The path of a witness file, or a skip that says what is missing and what is therefore not shown."""
    path = _BESIDE / name
    if not path.exists():
        pytest.skip(f"../shared/{name} is not beside this checkout: what it witnesses is not checked here")
    return path
