"""Calls to addresses that contain what requesters wrote: where they lead, how long they take, and what is read."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hf_gate.base.network_hosts import is_allowed_address
from hf_gate.messages.channels.private_calls import RefusedCallError, read_guarded, resolve_host
from tests.kits.message_servers import make_certificate, open_endless_server
from tests.kits.source_systems import Reply, SourceSystem, open_source

LIMIT = 64 * 1024


@pytest.fixture
def system() -> Iterator[SourceSystem]:
    with open_source() as made:
        yield made


def read(url: str, **more: Any) -> tuple[int, bytes]:
    return read_guarded(url, {}, **{"timeout_s": 5.0, "limit": LIMIT, "is_private": True, **more})


def refusal(url: str, **more: Any) -> str:
    with pytest.raises(RefusedCallError) as caught:
        read(url, **more)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


def test_a_call_goes_to_the_address_that_was_checked_and_names_the_host(system: SourceSystem) -> None:
    asked = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    assert read(f"http://crm.example.org:{system.port}/x", resolve=resolve) == (200, b'{"paid": true}')
    assert asked == [("crm.example.org", system.port)]
    assert system.headers[0]["host"] == f"crm.example.org:{system.port}"
    assert system.headers[0]["accept-encoding"] == "identity"


def test_the_name_of_a_host_is_used_as_it_is_written() -> None:
    """Its decoded form `faß.example` would be encoded as `fass.example`, by older rules, which is another host."""
    asked = []
    hello = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def resolve(host: str, _port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"]

        def listen() -> None:
            with server.accept()[0] as connection:
                hello.extend(connection.recv(65_536))

        thread = threading.Thread(target=listen)
        thread.start()
        assert refusal(f"https://xn--fa-hia.example:{port}/x", resolve=resolve)
        thread.join()
    assert asked == ["xn--fa-hia.example"]
    assert b"xn--fa-hia.example" in hello


def test_a_certificate_must_name_the_host_and_not_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    with open_source(certificate) as system:
        url = f"https://localhost:{system.port}/x"
        refused = "the certificate of the host is not trusted, or is for another host"
        assert refusal(url) == refused
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert read(url, resolve=lambda *_: ["127.0.0.1"])[0] == 200
        other = f"https://crm.example.org:{system.port}/x"
        assert refusal(other, resolve=lambda *_: ["127.0.0.1"]) == refused
    assert system.paths == ["/x"]
    assert refusal(url) == "no connection"


PUBLIC = ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8")
PRIVATE = ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "::1", "fd12::1", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::a00:1")  # fmt: skip
NEVER = (
    *("169.254.169.254", "fe80::1", "fe80::1%eth0", "0.1.2.3", "::", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("ff02::1", "2002:a00:1::", "2001:0:1::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "100.100.100.200"),
    *("fd00:ec2::254", "192.0.2.1", "192.0.0.192", "::ffff:192.0.0.192", "168.63.129.16", "3fff::1"),
)  # fmt: skip


def test_which_addresses_a_system_may_have() -> None:
    assert all(is_allowed_address(each, is_private=False) for each in PUBLIC)
    assert not any(is_allowed_address(each, is_private=False) for each in (*PRIVATE, *NEVER))
    assert all(is_allowed_address(each, is_private=True) for each in (*PUBLIC, *PRIVATE))
    assert not any(is_allowed_address(each, is_private=True) for each in NEVER)


@pytest.mark.parametrize(
    "found", [[], ["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["127.0.0.1"], ["::ffff:127.0.0.1"]]
)
def test_a_name_that_leads_to_a_private_address_is_not_called(system: SourceSystem, found: list[str]) -> None:
    url = f"http://crm.example.org:{system.port}/x"
    assert "not allowed" in refusal(url, is_private=False, resolve=lambda *_: found)
    assert system.paths == []


def test_a_private_address_of_the_system_resolver_is_not_called(system: SourceSystem) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert refusal(f"http://{host}:{system.port}/x", is_private=False)
    assert system.paths == []
    assert "127.0.0.1" in resolve_host("localhost", 80)


def test_a_redirect_is_not_followed(system: SourceSystem) -> None:
    for status in (301, 302, 303, 307, 308):
        system.reply = Reply(b"", status, {"location": f"{system.url}/elsewhere"})
        assert read(f"{system.url}/x") == (status, b"")
    assert system.paths == ["/x"] * 5


def test_a_large_or_endless_or_compressed_answer_is_not_read(system: SourceSystem) -> None:
    system.reply = Reply(b"x" * LIMIT)
    assert len(read(f"{system.url}/x")[1]) == LIMIT
    for reply in (
        Reply(b"x" * (LIMIT + 1)),
        Reply(b"x" * LIMIT, repeats=0.0),
        Reply(gzip.compress(b"x" * (1 << 24)), headers={"content-encoding": "gzip"}),
    ):
        system.reply = reply
        assert refusal(f"{system.url}/x") == "the answer is compressed, or larger than 64 KiB"


def test_of_another_status_than_200_nothing_is_read(system: SourceSystem) -> None:
    compressed = gzip.compress(b"nobody has this name")
    for reply in (
        Reply(compressed, 404, {"content-encoding": "gzip"}),
        Reply(b"x" * (LIMIT + 1), 404),
        Reply(b"", 404, repeats=30.0),
    ):
        system.reply = reply
        assert read(f"{system.url}/x") == (404, b"")


def test_a_slow_answer_ends_the_call_in_time(system: SourceSystem) -> None:
    system.reply = Reply(b" ", repeats=0.05, times=30)
    assert len(read(f"{system.url}/x")[1]) == 31
    assert refusal(f"{system.url}/x", timeout_s=0.4) == "no whole answer within 0 seconds"
    with open_endless_server(b"HTTP/1.1 200 OK\r\nx: y\r\n", 0.05) as port:
        assert "no whole answer" in refusal(f"http://127.0.0.1:{port}/x", timeout_s=0.4)


def test_a_name_server_that_hangs_ends_the_call_in_time(system: SourceSystem) -> None:
    def resolve(_host: str, _port: int) -> Sequence[str]:
        system.is_over.wait(2)
        return ["127.0.0.1"]

    assert "no whole answer" in refusal(f"http://crm.example.org:{system.port}/x", timeout_s=0.3, resolve=resolve)
    assert system.paths == []


@pytest.mark.parametrize(
    "data", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", b"\x15\x03\x01"]
)
def test_a_broken_answer_is_a_failure_without_its_text(data: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        server.listen()

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(data)

        thread = threading.Thread(target=answer)
        thread.start()
        assert refusal(f"http://127.0.0.1:{port}/secret-path").startswith("the call failed: ")
        thread.join()


def test_no_proxy_is_used(system: SourceSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert read(f"{system.url}/x")[0] == 200


def test_no_log_and_no_error_names_the_address_or_a_header(
    system: SourceSystem, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    read_guarded(f"{system.url}/zz-person", {"authorization": "zz-token"}, timeout_s=5, limit=LIMIT, is_private=True)
    with pytest.raises(RefusedCallError) as caught:
        read_guarded(f"{system.url}/zz-person", {"x": "zz\nt"}, timeout_s=5, limit=LIMIT, is_private=True)
    assert "zz" not in caplog.text + str(caught.value)
    assert len(system.paths) == 1
