"""Sends letters to applicants through the owner's mail server: one plain-text mail to one address."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from pathlib import Path

from hf_gate.core.letters.letters import LetterText
from hf_gate.core.letters.messages import Delivery
from hf_gate.core.letters.notices import MailServer

from .secret_references import resolve_secret
from .smtp import make_mail, send_mail


class LetterChannel:
    """The mail server of letters."""

    def __init__(self, server: MailServer, password: str | None) -> None:
        self._server = server
        self._password = password

    def send(self, ident: str, to: str, text: LetterText, sent_at: datetime) -> Delivery:
        """Send a letter once. A break after the conversation began counts as unknown."""
        return send_mail(self._server, self._password, lambda: _compose(self._server, ident, to, text, sent_at), [to])


def open_letter_channel(server: MailServer, folder: Path) -> LetterChannel:
    """Return the channel. Raises UsageError, without the secret, if the password is missing."""
    password = None if server.password is None else resolve_secret(server.password, "letters: password", folder)
    return LetterChannel(server, password)


def _compose(server: MailServer, ident: str, to: str, text: LetterText, sent_at: datetime) -> EmailMessage:
    mail = make_mail(server, ident, [to], text.subject, sent_at)
    mail.set_content(f"{text.body}\n", cte=None if text.body.isascii() else "base64")
    return mail
