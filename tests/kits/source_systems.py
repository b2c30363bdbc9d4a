"""A system on this machine that answers questions about people, well or badly, and a workspace that asks it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hf_gate.core.events import events as e
from hf_gate.verdicts.service.evaluated_parts import EvaluatedPart, PlanBuffer, evaluate_part
from hf_gate.verdicts.service.evaluation import RepoPolicies, open_fact_sources
from tests.kits.grant_workspaces import GrantWorkspace
from tests.kits.in_process_hub import InProcessHub
from tests.kits.workspaces import WORKSPACE_FILE, write_workspace


@dataclass
class Reply:
    """What the system sends: a status, headers and a body. A body of bytes is sent as it is, anything else as JSON.

    `repeats`: the body is sent again after a pause, `times` times or until the client goes.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    repeats: float | None = None
    times: int | None = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class SourceSystem:
    """The system. `by_person` has a reply for each last part of a path; the others get `reply`."""

    port: int
    reply: Reply = field(default_factory=lambda: Reply({"paid": True}))
    by_person: dict[str, Reply] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def open_source(certificate: tuple[Path, Path] | None = None) -> Iterator[SourceSystem]:
    """Start the system on a free port; by https if it has a certificate and its key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.paths.append(self.path)
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            reply = found.by_person.get(self.path.rpartition("/")[2], found.reply)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.repeats is None or reply.times is not None:
                self.send_header("content-length", str(len(reply.content) * (1 + (reply.times or 0))))
            self.end_headers()
            self.wfile.write(reply.content)
            left = reply.times
            while reply.repeats is not None and left != 0 and not found.is_over.wait(reply.repeats):
                self.wfile.write(reply.content)
                left = None if left is None else left - 1

        def log_message(self, *args: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found = SourceSystem(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        found.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class SourceWorkspace(GrantWorkspace):
    """A workspace that asks a system on this machine."""

    system: SourceSystem

    def evaluate(
        self, policy_set: RepoPolicies, status: str, now: datetime, buffer: PlanBuffer
    ) -> Iterator[EvaluatedPart]:
        """Evaluate a list in this process, as `EvaluationPool` does."""
        sources = open_fact_sources(self.workspace)
        return evaluate_part(self.store, policy_set, sources, status, now, buffer=buffer)

    def declare(self, rules: str, more: str = "", *, guards: str = "", name: str = "paid") -> None:
        """Write `sources` with one source, whose other keys are separated by `|`, and a policy with these rules."""
        keys = f"get: {self.system.url}/people/{{user_id}}|allow: [127.0.0.1]|private: true|value: /paid|{more}"
        sources = f"sources:\n  {name}:\n" + "".join(f"    {key}\n" for key in keys.split("|") if key)
        text = f'version: 1\npolicy: wishes\napplies_to: ["*/*", "datasets/*/*"]\nmode: enforce\nrules:\n{rules}'
        write_workspace(self.folder, text)
        (self.folder / "hf-gate.yaml").write_text(WORKSPACE_FILE + sources + (f"guards: {guards}\n" if guards else ""))
        self.load()

    def ask_access(self, *names: str) -> None:
        for name in names:
            self.id_of(name)
        self.ask(list(names))

    def say(self, name: str, body: Any, status: int = 200) -> None:
        """Let the system answer about one person."""
        self.system.by_person[self.id_of(name)] = Reply(body, status)

    def verdict(self, name: str) -> tuple[str, str]:
        """The recorded action and rule of a person's request."""
        action, _, rule, _ = self.row(name).state.verdict or ("", None, "", None)
        return str(action), rule

    def verdicts(self, name: str) -> list[str]:
        """The actions of all recorded verdicts about a person, the oldest first."""
        return [str(event.action) for event in self.events_of(name) if isinstance(event, e.VerdictReached)]

    def observed(self, name: str, source: str = "paid") -> Any:
        """What the store knows from a source about a person."""
        person = self.row(name).person.id
        return self.store.observations([person]).get((person, source))


@contextmanager
def open_source_workspace(folder: Path) -> Iterator[SourceWorkspace]:
    """Open a workspace and its source."""
    with open_source() as system:
        made = SourceWorkspace(folder, InProcessHub(repos=1))
        made.system = system
        try:
            yield made
        finally:
            made.close()
