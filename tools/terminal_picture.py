"""Takes the terminal pictures in docs/images: runs commands against a local Hub in a terminal of 120 columns."""

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
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = ROOT / "docs" / "images"
COLUMNS: Final = 120
REPO: Final = "datasets/tidewater-audio/harbour-voices"
POLICY: Final = f"""\
version: 1
policy: voices
applies_to: [{REPO}]
mode: enforce
rules:
  - id: say-more
    when: answers.purpose.quality in ["missing", "empty", "junk"]
    then: reset
    reason: Please say in one or two sentences what you will study, then ask again.
  - id: academic
    when: email.academic && person.account_days > 30
    then: accept
    until: 1y
  - id: rest
    then: human
"""


class Picture(NamedTuple):
    """The commands of a picture. With `has_desk`, a workspace is created first and not shown."""

    commands: tuple[str, ...]
    has_desk: bool = False


PICTURES: Final = {
    "terminal": Picture((
        f"hf-gate ls {REPO} --limit 5",
        f'hf-gate reset peterss5203@{REPO} --reason "Who will use it? Please ask again."',
        f"hf-gate accept {REPO} static-biscuit977 saltyteapot163 --yes",
        f"hf-gate accept saltyteapot163@{REPO}",
    )),
    "plan": Picture(("hf-gate plan", f"hf-gate explain mhuerta5346@{REPO}"), has_desk=True),
}  # fmt: skip

# rich's own frame, without its web fonts.
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
def _run_hub() -> Iterator[dict[str, Any]]:
    """Run a local Hub in its own process; yield the first line that it prints."""
    words = [sys.executable, "-m", "hf_gate", "hub", "serve", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield json.loads(child.stdout.readline() if child.stdout else "")
        finally:
            child.terminate()


def _run_in_terminal(command: str, environment: dict[str, str], folder: Path) -> str:
    """Return what a terminal shows for one command, colours included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    child = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break  # Linux raises this after the last writer has closed
        if not part:
            break
        shown += part
    os.close(ours)
    if child.wait():
        sys.exit(f"`{command}` ended with {child.returncode}:\n{shown.decode()}")
    lines = shown.decode().replace("\r\n", "\n").split("\n")
    return "\n".join(re.split(r"\r|\x1b\[K", line)[-1] for line in lines)


def build_transcript(picture: Picture) -> list[str]:
    """Return the lines of the picture: each command after its prompt, and its output."""
    with _run_hub() as hub, tempfile.TemporaryDirectory() as home:
        folder = Path(home).resolve()
        shim = f'hf_gate() {{ "{sys.executable}" -m hf_gate "$@"; }}; '
        environment = os.environ | {
            "HF_ENDPOINT": hub["url"], "HF_TOKEN": hub["tokens"]["owner"], "TERM": "xterm-256color", "PYTHONPATH": str(ROOT / "src"),
            "HOME": home, "XDG_DATA_HOME": home, "XDG_CACHE_HOME": home,
        }  # fmt: skip
        for name in ("NO_COLOR", "COLUMNS", "LINES"):  # readline, once loaded, sets the size of another terminal
            environment.pop(name, None)
        if picture.has_desk:
            _run_in_terminal(f"{shim}hf_gate init {REPO}", environment, folder)
            (folder / "policies" / "starter.yaml").write_text(POLICY, "utf-8")
        lines: list[str] = []
        for command in picture.commands:
            printed = _run_in_terminal(shim + command.replace("hf-gate", "hf_gate", 1), environment, folder)
            lines += ["\x1b[32m$\x1b[0m \x1b[1m" + command + "\x1b[0m", *printed.rstrip("\n").split("\n"), ""]
    return [_make_stable(line, str(folder)) for line in lines[:-1]]


def _make_stable(line: str, folder: str) -> str:
    """Replace what differs between runs and list versions: the port, the folder, the age of the sync and of accounts.

    The local Hub places its people by the hour of the week, so an age in days moves with the time of the run.
    """
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", line).replace(folder, "~/voices")
    line = re.sub(r"~/voices/hf-gate/stores/127[\w.-]+\.db", "~/.local/share/hf-gate/stores/127.0.0.1-8000.db", line)
    line = re.sub(r"(@[a-z-]+-[\d.]+)\+[\d-]+\.[0-9a-f]+", r"\1", line)
    line = re.sub(r"account_days = \d+", "account_days = 295", line)
    return re.sub(r"synced \d+ s ago", "synced 2 s ago", line)


def _split_at_wide_letters(line: Text) -> Text:
    """Start a new piece after each wide letter, so that its place does not depend on the font's width of the letter."""
    for match in re.finditer(r"(?<=[\u1100-\uffff])[ )]", line.plain):
        line.stylize("rgb(217,217,217)", match.start())
    return line


def main() -> None:
    """Take all pictures; with --text NAME, print the text of one."""
    if sys.argv[1:2] == ["--text"]:
        print("\n".join(Text.from_ansi(line).plain for line in build_transcript(PICTURES[sys.argv[2]])))
        return
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        for line in build_transcript(picture):
            console.print(_split_at_wide_letters(Text.from_ansi(line)), soft_wrap=False)
        svg = console.export_svg(title="hf-gate", theme=MONOKAI, code_format=_FRAME, unique_id="hf-gate")
        path = IMAGES / f"{name}.svg"
        path.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE), "utf-8")
        print(f"{path.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
