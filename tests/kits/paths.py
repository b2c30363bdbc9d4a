"""Where the files of this checkout are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "src" / "hf_gate"
DATA: Final = ROOT / "tests" / "data"
KITS: Final = ROOT / "tests" / "kits"
