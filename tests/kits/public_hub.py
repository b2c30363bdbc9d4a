"""The public Hub on this machine: a proxy that answers for huggingface.co, from another server."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from hf_gate.base.network_hosts import PUBLIC_HUB
from hf_gate.hub.drivers.deadlines import tls_context
from tests.kits.message_servers import make_certificate


@contextmanager
def open_public_hub(url: str, folder: Path) -> Iterator[dict[str, str]]:
    """Answer calls of https://huggingface.co from the server at `url`; return the variables of a process that does so."""
    certificate, key = make_certificate(folder, "DNS:huggingface.co")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    upstream = urlsplit(url)
    assert upstream.hostname is not None
    assert upstream.port is not None
    door = socket.create_server(("127.0.0.1", 0))

    def connect(caller: socket.socket) -> None:
        with caller, suppress(OSError):
            asked = b""
            while not asked.endswith(b"\r\n\r\n"):
                asked += caller.recv(1)
            assert asked.startswith(b"CONNECT huggingface.co:443 ")
            caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            target = socket.create_connection((upstream.hostname, upstream.port))
            with context.wrap_socket(caller, server_side=True) as client, target:
                threading.Thread(target=pass_on, args=(target, client), daemon=True).start()
                pass_on(client, target)

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                target.sendall(piece)
            target.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=connect, args=(door.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    tls_context.cache_clear()  # so that this process reads the variable
    try:
        proxy = f"http://127.0.0.1:{door.getsockname()[1]}"
        trusted = {name: str(certificate) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")}
        yield {"HF_ENDPOINT": PUBLIC_HUB, "HTTPS_PROXY": proxy, **trusted}
    finally:
        door.close()
        tls_context.cache_clear()
