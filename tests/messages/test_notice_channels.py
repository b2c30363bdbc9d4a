"""Each channel says what became of a message: delivered, failed, unknown or refused. Real receivers answer."""

from __future__ import annotations

import base64
import io
import logging
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from hf_gate.automation.channels import call_heartbeat
from hf_gate.core.letters.messages import DeliveryKind
from hf_gate.core.letters.notices import MailServer, NamedRequest, NoticeEvent, OutgoingItem, OutgoingMessage
from hf_gate.errors import UsageError
from hf_gate.messages.channels.apprise_channel import AppriseChannel, to_plain_text
from hf_gate.messages.channels.smtp import MailChannel, digest_address
from hf_gate.messages.channels.webhook import Webhook, sign
from tests.kits.message_servers import (
    HOOK_KEY,
    Hook,
    Mailbox,
    make_certificate,
    open_endless_server,
    open_hook,
    open_mailbox,
)

NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)
PASSWORD = "a-password-of-the-tests"
ELSEWHERE = "0.0.0.0"  # noqa: S104 - an address that is not loopback by its name, and still reaches this machine
TO = ("ann@example.org", "ben@example.org")


def message(text: str = "2 new requests at acme/med.", subject: str = "hf-gate: new requests") -> OutgoingMessage:
    item = OutgoingItem(
        event=NoticeEvent.NEW_REQUESTS, text=text, repo="acme/med", repo_type="model", count=2, facts={}, requests=None
    )
    return OutgoingMessage(
        schema_version=1, id="n_1", sequence=7, event="new_requests", is_alarm=False, made_at="2026-11-27T08:00:00.000Z",
        hub="https://huggingface.co", workspace="eeg", subject=subject, items=(item,),
    )  # fmt: skip


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_key_in_base64_signs_with_its_bytes(hook: Hook) -> None:
    secret = b"0123456789abcdef01234567"
    key = f"whsec_{base64.b64encode(secret).decode()}"
    assert Webhook("team", hook.url, key).send(message(), NOW).kind is DeliveryKind.DELIVERED
    (call,) = hook.calls
    assert call.headers["webhook-signature"] == sign(secret, "n_1", int(NOW.timestamp()), call.body)
    for wrong in ("whsec_not base64!", "whsec_c2hvcnQ="):
        with pytest.raises(UsageError, match="key of team is"):
            Webhook("team", hook.url, wrong)


def test_the_text_of_a_message_names_requests() -> None:
    told = message()
    named = (NamedRequest(user="ada-l", user_id="u1"), NamedRequest(user=None, user_id=None))
    item = replace(told.items[0], requests=named, count=3)
    names = "(ada-l, an erased person, ...)"
    assert replace(told, items=(item,)).lines == [f"2 new requests at acme/med. {names}"]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with open_hook() as found:
        yield found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def mailbox(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A server that wants STARTTLS and a login; its certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with open_mailbox(certificate, password=PASSWORD) as found:
        yield found


def mail_to(mailbox: Mailbox, *, password: str | None = PASSWORD, to: tuple[str, ...] = TO) -> MailChannel:
    user = None if password is None else "gate"
    server = MailServer(host="localhost", port=mailbox.port, sender="gate@example.org", to=to, user=user)
    return MailChannel("office", server, password)


# ---- webhooks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (200, DeliveryKind.DELIVERED),
        (204, DeliveryKind.DELIVERED),
        (301, DeliveryKind.REFUSED),
        (400, DeliveryKind.REFUSED),
        (401, DeliveryKind.FAILED),
        (404, DeliveryKind.REFUSED),
        (410, DeliveryKind.REFUSED),
        (429, DeliveryKind.FAILED),
        (500, DeliveryKind.FAILED),
        (503, DeliveryKind.FAILED),
        ("die", DeliveryKind.UNKNOWN),
    ],
)
def test_a_webhook_classifies_the_answer(hook: Hook, answer: int | str, kind: DeliveryKind) -> None:
    hook.answer = answer
    assert Webhook("team", hook.url, HOOK_KEY).send(message(), NOW).kind is kind
    assert len(hook.calls) == 1
    assert hook.calls[0].is_signed


@pytest.mark.slow
def test_a_webhook_that_hangs_is_unknown_after_ten_seconds(hook: Hook) -> None:
    hook.answer = "hang"
    done = Webhook("team", hook.url, HOOK_KEY).send(message(), NOW)
    assert (done.kind, done.problem) == (DeliveryKind.UNKNOWN, "no answer within 10 seconds")


def test_nobody_listening_is_a_failure() -> None:
    assert Webhook("team", "http://127.0.0.1:1/x", HOOK_KEY).send(message(), NOW).kind is DeliveryKind.FAILED


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_receiver_on_this_machine_is_never_called_through_a_proxy(
    hook: Hook, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Webhook("team", hook.url, HOOK_KEY).send(message(), NOW).kind is DeliveryKind.DELIVERED
    assert call_heartbeat(hook.url) is None
    address = hook.url.replace("http://", "json://")
    with pytest.raises(UsageError, match="the environment names a proxy") as refused:
        AppriseChannel("chat", address)
    assert "9a1b" not in str(refused.value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert AppriseChannel("chat", address).send(message(), NOW).kind is DeliveryKind.DELIVERED


def test_no_log_names_the_address_of_a_receiver(hook: Hook) -> None:
    root, text = logging.getLogger(), io.StringIO()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        Webhook("team", hook.url, HOOK_KEY).send(message(), NOW)
        call_heartbeat(hook.url)
        AppriseChannel("chat", hook.url.replace("http://", "json://")).send(message(), NOW)
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
    assert len(hook.calls) == 3
    assert "9a1b" not in text.getvalue()


# ---- mail --------------------------------------------------------------------------------------------------------------


def test_a_mail_goes_by_tls_and_with_a_login_to_every_recipient(mailbox: Mailbox) -> None:
    done = mail_to(mailbox).send(message(), NOW)
    assert (done.kind, len(done.accepted)) == (DeliveryKind.DELIVERED, 2), done
    ((to, mail),) = mailbox.mails
    assert to == TO
    assert mail["subject"] == "hf-gate: new requests"
    assert mail["message-id"] == "<n_1@example.org>"
    assert "2 new requests at acme/med." in mail.get_payload()
    assert mailbox.logins == [("gate", True)]


def test_a_wrong_password_waits_because_the_next_mail_would_fare_alike(mailbox: Mailbox) -> None:
    done = mail_to(mailbox, password="wrong").send(message(), NOW)
    assert (done.kind, done.problem) == (DeliveryKind.FAILED, "the mail server answered 535")
    assert mailbox.mails == []


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: tuple[Path, Path]) -> None:
    with open_mailbox(certificate, password=PASSWORD) as mailbox:
        assert mail_to(mailbox).send(message(), NOW).kind is DeliveryKind.FAILED
        assert mailbox.logins == []


def test_a_server_without_tls_is_used_on_this_machine_only() -> None:
    with open_mailbox(None) as mailbox:
        assert mail_to(mailbox, password=None).send(message(), NOW).kind is DeliveryKind.DELIVERED


def test_a_server_without_tls_elsewhere_gets_neither_a_mail_nor_a_password() -> None:
    with open_mailbox(None) as mailbox:
        server = MailServer(host=ELSEWHERE, port=mailbox.port, sender="gate@example.org", to=TO, user="gate")
        done = MailChannel("office", server, PASSWORD).send(message(), NOW)
        assert (done.kind, "no TLS" in done.problem) == (DeliveryKind.FAILED, True), done
        assert (mailbox.mails, mailbox.logins) == ([], [])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("250 OK", DeliveryKind.DELIVERED),
        ("451 later", DeliveryKind.FAILED),
        ("550 no", DeliveryKind.REFUSED),
        ("552 too large", DeliveryKind.REFUSED),
    ],
)
def test_the_answer_to_the_content_counts(mailbox: Mailbox, answer: str, kind: DeliveryKind) -> None:
    mailbox.content_answer = answer
    assert mail_to(mailbox).send(message(), NOW).kind is kind


@pytest.mark.parametrize(("answer", "kind"), [("451 later", DeliveryKind.FAILED), ("550 no", DeliveryKind.REFUSED)])
def test_only_the_recipients_that_lack_the_mail_get_it_again(mailbox: Mailbox, answer: str, kind: DeliveryKind) -> None:
    mailbox.refusals = {TO[1]: answer}
    first = mail_to(mailbox).send(message(), NOW)
    assert (first.kind, first.accepted) == (kind, (digest_address(TO[0]),))
    mailbox.refusals = {}
    again = mail_to(mailbox).send(message(), NOW, first.accepted)
    assert again.kind is DeliveryKind.DELIVERED
    assert [to for to, _ in mailbox.mails] == [(TO[0],), (TO[1],)]


def test_no_recipient_at_all_is_told_by_its_code(mailbox: Mailbox) -> None:
    mailbox.refusals = dict.fromkeys(TO, "451 later")
    assert mail_to(mailbox).send(message(), NOW).kind is DeliveryKind.FAILED
    mailbox.refusals = dict.fromkeys(TO, "550 no")
    assert mail_to(mailbox).send(message(), NOW).kind is DeliveryKind.REFUSED


def test_a_server_that_dies_after_the_content_is_unknown(mailbox: Mailbox) -> None:
    mailbox.dies = True
    assert mail_to(mailbox).send(message(), NOW).kind is DeliveryKind.UNKNOWN
    assert len(mailbox.mails) == 1


def test_a_server_whose_greeting_never_ends_is_given_up() -> None:
    with open_endless_server(b"220-wait\r\n", 0.01) as port:
        server = MailServer(host="127.0.0.1", port=port, sender="gate@example.org", to=TO)
        done = MailChannel("office", server, None, 0.3).send(message(), NOW)
    assert (done.kind, done.problem) == (DeliveryKind.FAILED, "the connection broke: SMTPServerDisconnected")


def test_a_server_that_floods_its_greeting_fills_no_memory() -> None:
    tracemalloc.start()
    try:
        with open_endless_server((b"220-" + b"x" * 8000 + b"\r\n") * 10, 0.0) as port:
            server = MailServer(host="127.0.0.1", port=port, sender="gate@example.org", to=TO)
            done = MailChannel("office", server, None, 5.0).send(message(), NOW)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.kind is DeliveryKind.FAILED
    assert peak < 8 << 20


def test_no_text_adds_a_header_or_a_recipient(mailbox: Mailbox) -> None:
    evil = "x\r\nBcc: eve@example.org\r\n\r\n.\r\nRCPT TO:<eve@example.org>"
    assert mail_to(mailbox).send(message(evil), NOW).kind is DeliveryKind.DELIVERED
    assert mail_to(mailbox).send(message("x", evil), NOW).kind is DeliveryKind.FAILED
    ((to, mail),) = mailbox.mails
    assert (to, mail["bcc"]) == (TO, None)


# ---- apprise -----------------------------------------------------------------------------------------------------------


def test_a_chat_gets_plain_text_without_redirects(hook: Hook) -> None:
    address = hook.url.replace("http://", "json://") + "?redirect=yes"
    channel = AppriseChannel("chat", address)
    assert (
        channel.send(message("@everyone <!channel> [x](https://evil.example) *b*"), NOW).kind is DeliveryKind.DELIVERED
    )
    (call,) = hook.calls
    assert "@everyone" not in call.document["message"]
    assert "<!channel>" not in call.document["message"]
    assert "https://evil" not in call.document["message"]
    hook.answer = 302
    assert channel.send(message(), NOW).kind is DeliveryKind.UNKNOWN
    assert len(hook.calls) == 2, "the redirect is not followed"


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_a_chat_service_whose_answer_never_ends_is_given_up(pause_s: float) -> None:
    """Its process is killed, or has no memory left before."""
    with open_endless_server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000, pause_s) as port:
        done = AppriseChannel("chat", f"json://127.0.0.1:{port}/x", 5.0).send(message(), NOW)
    assert done.kind is DeliveryKind.UNKNOWN


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("nonsense", "is not the address of a service"),
        ("json://chat.example.org/9a1b-secret", "without TLS"),
        ("mailto://user:9a1b-secret@example.org", "without TLS"),
        ("j" * 3000, "is not the address of a service"),
    ],
)
def test_an_address_of_no_service_or_without_tls_is_refused_without_its_text(address: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        AppriseChannel("chat", address)
    assert "9a1b" not in str(refused.value)


def test_a_service_that_always_uses_tls_is_allowed() -> None:
    AppriseChannel("chat", "slack://TokenA1234/TokenB1234/TokenC12345678901234567890")


@pytest.mark.parametrize("text", ["@here", "<!channel>", "[a](b)", "`x`", "~~x~~", "||x||", "https://x.example"])
def test_markup_and_mentions_are_taken_apart(text: str) -> None:
    assert text not in to_plain_text(text)
