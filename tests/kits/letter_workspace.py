"""A workspace that sends letters to requesters, and the mail server that gets them."""

from __future__ import annotations

from collections.abc import Iterator
from email.header import decode_header, make_header
from pathlib import Path

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, Console, request_access
from tests.kits.message_servers import Mailbox, make_certificate, open_mailbox

PASSWORD = "a-password-of-the-tests"
POLICY = f"""\
version: 1
policy: voices
applies_to: [{DATASET}]
mode: enforce
rules:
  - id: agreement
    when: answers.purpose.text == "wait"
    then: wait
    at_most: 30d
    after: human
  - id: students
    when: answers.purpose.text == "student"
    then: accept
    until: 30d
    at_end: reset
    end_reason: The time is over.
    notice: [7d]
  - {{id: all, then: human}}
"""
LETTERS = """\
letters:
  kinds: [received, needed, ends, ended]
  smtp: 127.0.0.1:PORT
  from: access@example.org
  user: gate
  password: env:MAIL_PASSWORD
  needs: {agreement: Send the signed agreement.}
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def mailbox(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A server that wants STARTTLS and a login; its certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    with open_mailbox(certificate, password=PASSWORD) as found:
        yield found


@pytest.fixture
def console(fresh: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox) -> Console:
    """A workspace with letters; one person asked before they were turned on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_GATE_CLOCK", "hub")
    console = Console(fresh)
    ask(console, "ada-l")
    assert console.run("init", DATASET).code == 0
    (tmp_path / "policies" / "starter.yaml").write_text(POLICY, "utf-8")
    configure(LETTERS.replace("PORT", str(mailbox.port)))
    run_once(console)
    console.hub.clock.advance("1m")
    return console


def configure(letters: str) -> None:
    """Replace the letters of the workspace in the current folder."""
    desk = Path("hf-gate.yaml")
    desk.write_text(desk.read_text("utf-8").partition("letters:")[0] + letters, "utf-8")


def ask(console: Console, name: str, purpose: str = "to listen", fullname: str | None = None, email: str = "") -> None:
    person = {"username": name, "fullname": fullname or name.title(), "email": email or f"{name}@example.org"}
    if name not in console.hub.tokens:
        console.hub.add_people([person])
    request_access(console.hub, [name], DATASET, {"Purpose": purpose})


def run_once(console: Console, code: int = 0) -> str:
    ended = console.run("run", "--once")
    assert ended.code == code, ended.err
    return ended.err


def list_subjects(mailbox: Mailbox) -> list[tuple[tuple[str, ...], str]]:
    texts = [str(make_header(decode_header(mail["subject"]))) for _, mail in mailbox.mails]
    return [(to, " ".join(text.split())) for (to, _), text in zip(mailbox.mails, texts, strict=True)]


def read_body(mailbox: Mailbox, number: int = -1) -> str:
    content = mailbox.mails[number][1].get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()
