"""Connections to mail servers that can be cut off from their first byte, and that read a limited amount."""

from __future__ import annotations

import smtplib
import socket
import ssl
from contextlib import suppress
from typing import BinaryIO, Final

TLS_PORT: Final = 465
TIMEOUT_S: Final = 10.0  # of one step
_MAX_REPLIES: Final = 1 << 18  # bytes of all answers
_READY: Final = 220


class _ReplyReader:
    """The answers of a server, up to a limit: `smtplib` keeps every line of an answer."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, _MAX_REPLIES

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
