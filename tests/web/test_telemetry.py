"""The desk reports to nobody, even where the process around it has OpenTelemetry set up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.house.tree import ROOT

# A tracer provider serves a whole process, so each desk gets a process of its own.
_PROGRAM = """
import sys
from pathlib import Path
from opentelemetry import trace

class Recording(trace.TracerProvider):
    asked = 0
    def get_tracer(self, *args, **more):
        Recording.asked += 1
        return trace.NoOpTracer()

trace.set_tracer_provider(Recording())
from tests.web.kit import a_room

with a_room(Path(sys.argv[1])) as room:
    assert room.visitor().get("/queue").status == 200
print(Recording.asked)
"""


def test_a_desk_traces_nothing_where_its_process_has_a_tracer(tmp_path: Path) -> None:
    """Spans would carry what somebody searched for, and log records the text of errors."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0"
