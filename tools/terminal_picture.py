"""Makes docs/images/terminal.svg from a real run: a local Hub with the demo's people, and commands in a terminal of 120 columns."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURE: Final = ROOT / "docs" / "images" / "terminal.svg"
COLUMNS: Final = 120
REPO: Final = "datasets/tidewater-audio/harbour-voices"
COMMANDS: Final = (
    f"hf-gate ls {REPO} --limit 5",
    f'hf-gate reset littler7615@{REPO} --reason "Who will use it? Please ask again."',
    f"hf-gate accept {REPO} greenheron719 koi176 --yes",
    f"hf-gate accept koi176@{REPO}",
)

# rich's own frame, without the web fonts that it would load from elsewhere.
_FRAME: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{ font-family: "Fira Code", "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@contextmanager
def _hub() -> Iterator[dict[str, Any]]:
    """A local Hub in a process of its own, as it tells about itself."""
    words = [sys.executable, "-m", "hf_gate", "hub", "serve", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield json.loads(child.stdout.readline() if child.stdout else "")
        finally:
            child.terminate()


def _in_a_terminal(command: str, environment: dict[str, str]) -> str:
    """What a terminal shows of one command, colours included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    child = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break  # Linux says so when the last writer is gone
        if not part:
            break
        shown += part
    os.close(ours)
    if child.wait():
        sys.exit(f"`{command}` ended with {child.returncode}:\n{shown.decode()}")
    lines = shown.decode().replace("\r\n", "\n").split("\n")
    return "\n".join(re.split(r"\r|\x1b\[K", line)[-1] for line in lines)


def transcript() -> list[str]:
    """The lines of the picture: each command behind its prompt, and what it printed."""
    with _hub() as hub:
        shim = f'hf_gate() {{ "{sys.executable}" -m hf_gate "$@"; }}; '
        environment = os.environ | {
            "HF_ENDPOINT": hub["url"], "HF_TOKEN": hub["tokens"]["owner"], "TERM": "xterm-256color", "PYTHONPATH": str(ROOT / "src"),
        }  # fmt: skip
        environment.pop("NO_COLOR", None)
        lines: list[str] = []
        for command in COMMANDS:
            printed = _in_a_terminal(shim + command.replace("hf-gate", "hf_gate", 1), environment)
            lines += ["\x1b[32m$\x1b[0m \x1b[1m" + command + "\x1b[0m", *printed.rstrip("\n").split("\n"), ""]
    return [re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", line) for line in lines[:-1]]


def _held_in_columns(line: Text) -> Text:
    """The line with a new piece after each wide letter: a piece has its own place, whichever font draws the one before."""
    for match in re.finditer(r"(?<=[\u1100-\uffff])[ )]", line.plain):
        line.stylize("rgb(217,217,217)", match.start())
    return line


def main() -> None:
    """Draw it; with --text, print what would be drawn."""
    if sys.argv[1:] == ["--text"]:
        print("\n".join(Text.from_ansi(line).plain for line in transcript()))
        return
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in transcript():
        console.print(_held_in_columns(Text.from_ansi(line)), soft_wrap=False)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title="hf-gate", theme=MONOKAI, code_format=_FRAME, unique_id="hf-gate")
    PICTURE.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE), "utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
