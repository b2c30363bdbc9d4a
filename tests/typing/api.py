"""The public API as a type checker sees it: mypy reads this file, nothing runs it. Each public name gets its line here."""

from __future__ import annotations

from typing import assert_type

import hf_gate

assert_type(hf_gate.__version__, str)
