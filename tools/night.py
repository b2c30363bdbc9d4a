"""Plays a bad night on a local Hub's clock, and writes into docs/messages.md which notice arrived when and where.

    python tools/night.py          # or: make night

A turn takes place every 20 minutes. tests/journeys/test_night.py compares the page with a night of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from hf_gate.testing import LocalHub  # noqa: E402 - the path is set above
from tests.kits.command_line import DATASET, PROGRAM, Console, request_access  # noqa: E402
from tests.kits.message_servers import HOOK_KEY, Hook, Mailbox, open_hook, open_mailbox  # noqa: E402

PAGE: Final = ROOT / "docs" / "messages.md"
_MARKED: Final = re.compile(r"(<!-- generated: night -->\n).*?(<!-- end generated -->)", re.DOTALL)
_STEP: Final = timedelta(minutes=20)
_LATER_S: Final = (
    5  # by which each turn is later in its minutes than the one before, so that an hour is over for certain
)
_BASH: Final = shutil.which("bash") or "bash"
_POLICY: Final = f"""\
version: 1
policy: voices
applies_to: [{DATASET}]
mode: enforce
rules:
  - {{id: all, then: accept}}
"""
_TOKEN_FILE: Final = "token.txt"  # noqa: S105 - the name of a file
_POLICY_FILE: Final = "policies/starter.yaml"
_MISTAKE: Final = "nonsense: 1\n"


@dataclass
class Night:
    """The state of the night. `rows`: the time, what happened, and the messages that arrived at each place."""

    hub: LocalHub
    folder: Path
    hook: Hook
    mailbox: Mailbox
    is_full: bool = False
    is_killed: bool = False
    turns: int = 0
    seen: tuple[int, int] = (0, 0)
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def play(self) -> None:
        """Play from 22:00 to 11:20."""
        self.write_token(self.hub.tokens["owner"])
        self._advance_to("21:40")
        self._turn()
        while (moment := self._next()) != "11:40":
            what, happen = _EVENTS.get(moment, ("", None))
            if happen is not None:
                happen(self)
            self._turn()
            if (arrived := self._collect()) or what:
                self.rows.append((moment, what, arrived))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.hub.clock.now(), UTC)

    def _advance_to(self, moment: str) -> None:
        now = self._now()
        due = now.replace(hour=int(moment[:2]), minute=int(moment[3:]), second=0, microsecond=0)
        due += timedelta(days=due <= now, seconds=_LATER_S * self.turns)
        self.hub.clock.advance(f"{round((due - now).total_seconds())}s")

    def _next(self) -> str:
        now = self._now()
        due = now + _STEP - timedelta(minutes=now.minute % 20)
        moment = f"{due:%H:%M}"
        self._advance_to(moment)
        return moment

    def write_token(self, text: str) -> None:
        (self.folder / _TOKEN_FILE).write_text(text, "utf-8")

    def kill_loop(self) -> None:
        """Kill `hf-gate run` after its first turn."""
        self.is_killed = True
        with Console(self.hub).start("run", "--every", "20m") as loop:
            if loop.stdout is None or not loop.stdout.readline():
                raise RuntimeError("hf-gate run has ended by itself")
            loop.kill()

    def spoil(self, name: str, *, is_good: bool) -> None:
        """Add a line with a mistake to a file, or remove it."""
        file = self.folder / name
        text = file.read_text("utf-8")
        file.write_text(text.removesuffix(_MISTAKE) if is_good else f"{text}{_MISTAKE}", "utf-8")

    def _turn(self) -> None:
        self.turns += 1
        if self.is_killed:
            return
        console = Console(self.hub)
        words = ["run", "--once", "--max-wait", "1s", "--token-file", _TOKEN_FILE]
        if self.is_full:  # no file may grow, as on a full disk
            script = 'ulimit -f 0; exec "$@"'
            subprocess.run(
                [_BASH, "-c", script, "bash", *PROGRAM, *words],
                env=console.environment(),
                check=False,
                capture_output=True,
            )
        else:
            console.run(*words)

    def _collect(self) -> str:
        calls, mails = self.hook.calls[self.seen[0] :], self.mailbox.mails[self.seen[1] :]
        self.seen = len(self.hook.calls), len(self.mailbox.mails)
        found = [f"team: {item['text']}" for call in calls for item in call.document["items"]]
        found += [f"office: {line}" for _, mail in mails for line in _read_lines(mail)]
        return "<br>".join(_shorten(text) for text in found)


_EVENTS: Final[dict[str, tuple[str, Callable[[Night], object]]]] = {
    "22:00": ("two people ask", lambda night: request_access(night.hub, ["bob", "cy"], DATASET)),
    "00:00": ("the token file holds something else", lambda night: night.write_token("nonsense 1")),
    "01:00": ("the token file holds the token again", lambda night: night.write_token(night.hub.tokens["owner"])),
    "02:00": ("the token is revoked", lambda night: night.write_token("hf_local_revoked")),
    "02:40": ("a new token is in its file", lambda night: night.write_token(night.hub.tokens["owner"])),
    "03:00": ("the Hub does not answer", lambda night: night.hub.set_faults(["down:s=100000"])),
    "03:40": ("the Hub answers again", lambda night: night.hub.set_faults([])),
    "04:00": ("the disk is full", lambda night: setattr(night, "is_full", True)),
    "05:20": ("there is room again", lambda night: setattr(night, "is_full", False)),
    "05:40": ("somebody makes a mistake in hf-gate.yaml", lambda night: night.spoil("hf-gate.yaml", is_good=False)),
    "06:20": ("it is corrected", lambda night: night.spoil("hf-gate.yaml", is_good=True)),
    "06:40": ("somebody makes a mistake in a policy", lambda night: night.spoil(_POLICY_FILE, is_good=False)),
    "07:20": ("it is corrected", lambda night: night.spoil(_POLICY_FILE, is_good=True)),
    "07:40": ("the mail server takes no mail", lambda night: setattr(night.mailbox, "content_answer", "451 try later")),
    "08:20": ("it takes mail again", lambda night: setattr(night.mailbox, "content_answer", "250 OK")),
    "08:40": ("this machine's clock is wrong", lambda _: os.environ.pop("HF_GATE_CLOCK")),
    "09:40": ("the clock is right again", lambda _: os.environ.update(HF_GATE_CLOCK="hub")),
    "10:00": ("hf-gate run is killed", lambda night: night.kill_loop()),
    "11:00": ("hf-gate run is started again", lambda night: setattr(night, "is_killed", False)),
}


def _read_lines(mail: Message) -> list[str]:
    """Return the lines of a mail above its last paragraph, which names the Hub and the workspace."""
    content = mail.get_payload(decode=True)
    text = content.decode() if isinstance(content, bytes) else ""
    return text.replace("\r\n", "\n").partition("\n\n")[0].splitlines()


def _shorten(text: str) -> str:
    text = re.sub(r"http://127\.0\.0\.1:\d+|127\.0\.0\.1:\d+", "the Hub", text.strip())
    text = re.sub(r"(?<=\s)/\S+/(?=hf-gate\.yaml)", "", text)
    text = re.sub(r"(?<=\s)/\S+", "the store", text)
    text = re.sub(r"is \d+ \w+ behind", "is 12 h behind", text)  # it depends on the hour at which the night is played
    text = re.sub(r"would be in \d+ s", "would be in 60 s", text)  # longer if more calls failed at the same time
    return re.sub(r"\br_\w{12}\b", "r_...", text).replace("|", "/")


@contextmanager
def _night(folder: Path) -> Iterator[Night]:
    with LocalHub(requests=0, repos=3) as hub, open_hook() as hook, open_mailbox(None) as mailbox:
        before = dict(os.environ), Path.cwd()
        more = {
            "HOOK": hook.url,
            "HOOK_KEY": HOOK_KEY,
            "HF_GATE_CLOCK": "hub",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        os.environ.update(more)
        os.chdir(folder)
        try:
            request_access(hub, ["ada-l"], DATASET)
            Console(hub).run("init", DATASET)
            (folder / "policies" / "starter.yaml").write_text(_POLICY, "utf-8")
            with (folder / "hf-gate.yaml").open("a", encoding="utf-8") as file:
                file.write(
                    "notify:\n  - {name: team, webhook: env:HOOK, key: env:HOOK_KEY, events: {run_result: off}}\n"
                    f"  - {{name: office, smtp: 'localhost:{mailbox.port}', from: gate@example.org, to: [office@example.org],\n"
                    "     events: {token: immediate, failed_turn: off, stuck: off, unattended: off}}\n"
                )
            yield Night(hub, folder, hook, mailbox)
        finally:
            os.environ.clear()
            os.environ.update(before[0])
            os.chdir(before[1])


def make_table() -> str:
    """Play the night; return its table in Markdown."""
    with tempfile.TemporaryDirectory() as folder, _night(Path(folder)) as night:
        night.play()
        lines = [f"| {moment} | {what} | {arrived} |" for moment, what, arrived in night.rows]
    return "\n".join(["| time | what happens | what arrives |", "|---|---|---|", *lines]) + "\n"


def renew(page: str, table: str) -> str:
    """Return the page with this table."""
    return _MARKED.sub(lambda found: f"{found[1]}{table}{found[2]}", page)


def main() -> int:
    """Write the page."""
    PAGE.write_text(renew(PAGE.read_text("utf-8"), make_table()), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
