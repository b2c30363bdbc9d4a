"""Sends mail through the owner's own server, with STARTTLS or TLS, and with a password if one is set."""

from __future__ import annotations

import hashlib
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as MAIL_POLICY
from email.utils import format_datetime
from functools import partial
from threading import Timer
from typing import BinaryIO, Final

from hf_gate.base.network_hosts import is_loopback_host
from hf_gate.core.letters.messages import Delivery, DeliveryKind
from hf_gate.core.letters.notices import MailServer, OutgoingMessage

# ---- connections -----------------------------------------------------------------------------------------------------


TLS_PORT: Final = 465
TIMEOUT_S: Final = 10.0  # of one step
_MAX_REPLIES: Final = 1 << 18  # bytes of all answers
_READY: Final = 220


class _ReplyReader:
    """The answers of a server, up to a limit: `smtplib` keeps every line of an answer."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MAX_REPLIES

    def readline(self, size: int) -> bytes:
        line = self._file.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise OSError("the mail server sent too much")
        return line

    def close(self) -> None:
        self._file.close()


class MailConnection(smtplib.SMTP):
    """A connection that `open` opens, so that a deadline holds from its first byte."""

    is_over = False

    def __init__(self, host: str) -> None:
        super().__init__(timeout=TIMEOUT_S)
        self._host = host  # the name in the server's certificate

    def open(self, port: int) -> None:
        """Connect and read the greeting. Raises SMTPConnectError if the server does not want to talk."""
        code, text = self.connect(self._host, port)
        if code != _READY:
            raise smtplib.SMTPConnectError(code, text)

    def getreply(self) -> tuple[int, bytes]:
        """Read one answer."""
        if self.is_over:
            raise smtplib.SMTPServerDisconnected("the time limit was reached")
        if self.file is None and self.sock is not None:
            self.file = _ReplyReader(self.sock.makefile("rb"))
        return super().getreply()

    def cut_off(self) -> None:
        """End the conversation, from another thread."""
        self.is_over = True
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class TlsMailConnection(MailConnection, smtplib.SMTP_SSL):
    """The same with TLS from the first byte."""

    def __init__(self, host: str, context: ssl.SSLContext) -> None:
        smtplib.SMTP_SSL.__init__(self, timeout=TIMEOUT_S, context=context)
        self._host = host


# ---- mail ------------------------------------------------------------------------------------------------------------


DEADLINE_S: Final = 30.0
"""Of the whole conversation: a server may answer each step slowly."""


def digest_address(address: str) -> str:
    """Return what the outbox stores of a recipient."""
    return hashlib.sha256(address.lower().encode()).hexdigest()[:16]


class MailChannel:
    """A mail server with the recipients of one destination."""

    def __init__(self, name: str, server: MailServer, password: str | None, deadline_s: float = DEADLINE_S) -> None:
        self.name = name
        self._server = server
        self._password = password
        self._deadline_s = deadline_s

    def send(self, message: OutgoingMessage, sent_at: datetime, accepted: Sequence[str] = ()) -> Delivery:
        """Send one mail to the recipients that do not have it yet."""
        to = [address for address in self._server.to if digest_address(address) not in accepted]
        if not to:
            return Delivery(DeliveryKind.DELIVERED)
        compose = partial(_compose, message, sent_at, self._server, to)
        early = DeliveryKind.UNKNOWN
        end = self._deadline_s
        return send_mail(self._server, self._password, compose, to, before=early, deadline_s=end)


def send_mail(
    server: MailServer,
    password: str | None,
    compose: Callable[[], EmailMessage],
    to: Sequence[str],
    *,
    before: DeliveryKind = DeliveryKind.FAILED,
    deadline_s: float = DEADLINE_S,
) -> Delivery:
    """Send one mail in a conversation of its own. `before` is the result of a timeout before anything was sent."""
    has_begun = False
    try:
        mail = compose()
        with _connect(server, password, deadline_s) as connection:
            if isinstance(connection, Delivery):
                return connection
            has_begun = True
            refused = connection.send_message(mail, server.sender, to)
    except smtplib.SMTPRecipientsRefused as problem:
        return _classify_recipients(to, problem.recipients)
    except smtplib.SMTPDataError as problem:  # the server answered, so it did not take the mail
        return _classify_code(problem.smtp_code)
    except smtplib.SMTPResponseException as problem:  # the server refuses us: any other mail would fare alike
        return Delivery(DeliveryKind.FAILED, f"the mail server answered {problem.smtp_code}")
    except (smtplib.SMTPServerDisconnected, OSError) as problem:
        early = before if isinstance(problem, TimeoutError) else DeliveryKind.FAILED
        is_closed = isinstance(problem, ConnectionRefusedError)
        words = "no mail server answers at that address" if is_closed else "the connection broke"
        return Delivery(DeliveryKind.UNKNOWN if has_begun else early, f"{words}: {type(problem).__name__}")
    except (smtplib.SMTPException, UnicodeError, ValueError) as problem:
        return Delivery(DeliveryKind.FAILED, f"the mail could not be sent: {type(problem).__name__}")
    return _classify_recipients(to, refused)


@contextmanager
def _connect(server: MailServer, password: str | None, deadline_s: float) -> Iterator[smtplib.SMTP | Delivery]:
    """Yield a connection that may carry the mail, or why there is none. It is cut off after the deadline."""
    host = server.host
    port = server.port
    context = ssl.create_default_context()
    connection = TlsMailConnection(host, context) if port == TLS_PORT else MailConnection(host)
    timer = Timer(deadline_s, connection.cut_off)
    timer.start()
    try:
        connection.open(port)
        connection.ehlo()
        if port != TLS_PORT and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
        elif port != TLS_PORT and not is_loopback_host(host):
            yield Delivery(DeliveryKind.FAILED, "the mail server offers no TLS, so nothing was sent")
            return
        if server.user is not None and password is not None:
            connection.login(server.user, password)
        yield connection
    finally:
        timer.cancel()
        timer.join()
        with suppress(smtplib.SMTPException, OSError):
            connection.close()


def make_mail(server: MailServer, ident: str, to: Sequence[str], subject: str, sent_at: datetime) -> EmailMessage:
    """Return a mail with its headers and without text."""
    mail = EmailMessage(policy=MAIL_POLICY)
    mail["From"], mail["To"], mail["Subject"] = server.sender, ", ".join(to), subject
    mail["Date"] = format_datetime(sent_at)
    mail["Message-ID"] = f"<{ident}@{server.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    return mail


def _compose(message: OutgoingMessage, sent_at: datetime, server: MailServer, to: Sequence[str]) -> EmailMessage:
    mail = make_mail(server, message.id, to, message.subject, sent_at)
    mail["X-HF-Gate-Sequence"] = str(message.sequence)
    workspace = f", workspace {message.workspace}" if message.workspace else ""
    mail.set_content("\n".join([*message.lines, "", f"{message.hub}{workspace}, {message.made_at}", ""]))
    return mail


def _classify_code(code: int) -> Delivery:
    words = f"the mail server answered {code}"
    is_final = 500 <= code < 600
    return Delivery(DeliveryKind.REFUSED if is_final else DeliveryKind.FAILED, words)


def _classify_recipients(to: Sequence[str], refused: Mapping[str, tuple[int, bytes]]) -> Delivery:
    """Return the result of a mail that some recipients may have got. Only the others get it again."""
    accepted = tuple(digest_address(address) for address in to if address not in refused)
    if not refused:
        return Delivery(DeliveryKind.DELIVERED, "", accepted)
    codes = [code for code, _ in refused.values()]
    words = f"{len(refused)} of {len(to)} recipients refused by the mail server ({codes[0]})"
    is_final = all(500 <= code < 600 for code in codes)
    return Delivery(DeliveryKind.REFUSED if is_final else DeliveryKind.FAILED, words, accepted)
