"""Runs `hf-gate`, also as `python -m hf_gate`."""

from __future__ import annotations

import sys

try:
    from hf_gate.command_line.main import main
except KeyboardInterrupt:  # Ctrl-C before the program could answer it
    sys.stderr.write("Interrupted; nothing was sent to the Hub.\n")
    sys.exit(130)

if __name__ == "__main__":
    main()
