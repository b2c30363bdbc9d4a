"""Runs `hf-gate` as `python -m hf_gate`."""

from __future__ import annotations

from hf_gate.cli.main import main

if __name__ == "__main__":
    main()
