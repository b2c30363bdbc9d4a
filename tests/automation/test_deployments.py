"""The files in `deploy/` are valid, agree with each other, and their commands work as user 1000 in a clean folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import yaml  # type: ignore[import-untyped]
from kubernetes_validate import ValidationError, validate  # type: ignore[import-untyped]

from hf_gate.testing import LocalHub
from tests.kits.command_line import DATASET, PROGRAM
from tests.kits.paths import ROOT

DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text("utf-8"))
MANIFESTS: Final[list[dict[str, Any]]] = list(
    yaml.safe_load_all((DEPLOY / "kubernetes" / "hf-gate.yaml").read_text("utf-8"))
)
DOCKERFILE: Final = (DEPLOY / "docker" / "Dockerfile").read_text("utf-8")
USER: Final = 1000
ANALYZE: Final = shutil.which("systemd-analyze") or ""


def _unit(name: str) -> str:
    return (DEPLOY / "systemd" / name).read_text("utf-8")


def _exec_of(unit: str) -> list[str]:
    found = re.search(r"(?m)^ExecStart=/opt/hf-gate/bin/hf-gate (.+)$", unit)
    assert found is not None
    return shlex.split(found[1])


def _container(part: str) -> dict[str, Any]:
    deployment = next(
        each for each in MANIFESTS if each["metadata"]["name"] == f"hf-gate-{part}" and each["kind"] == "Deployment"
    )
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def _commands(part: str) -> list[list[str]]:
    """The words after `hf-gate` of one part in systemd, Compose and Kubernetes."""
    unit = {"loop": "hf-gate-run.service", "desk": "hf-gate-desk.service"}[part]
    return [_exec_of(_unit(unit)), COMPOSE["services"][part]["command"], _container(part)["args"]]


# ---- the files -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not ANALYZE, reason="systemd is not installed here")
def test_systemd_finds_no_mistake_in_the_units(tmp_path: Path) -> None:
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text("utf-8").replace("/opt/hf-gate/bin/hf-gate", shutil.which("true") or "/bin/true")
        (tmp_path / path.name).write_text(text, "utf-8")
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", *units], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_service_restarts_only_what_a_restart_can_mend() -> None:
    for name in ("hf-gate-run.service", "hf-gate-desk.service"):
        unit = _unit(name)
        assert "\nRestart=on-failure\n" in unit
        assert "\nRestartPreventExitStatus=2 4\n" in unit
        assert "time-sync.target" in unit
        assert "\nEnvironment=" not in unit  # `sudo -u hf-gate hf-gate ui` looks for the desk where the desk says it is
        assert "\nProtectSystem=strict\n" in unit


def test_the_check_is_as_confined_as_the_loop_and_the_desk() -> None:
    confined = [
        _unit(f"hf-gate-{name}.service").partition("StateDirectory=")[2].partition("\n[Install]")[0].strip()
        for name in ("run", "desk", "check")
    ]
    assert "SystemCallFilter=@system-service" in confined[0]
    assert confined[1:] == confined[:1] * 2


def test_every_action_is_pinned_by_its_commit() -> None:
    for workflow in (ROOT / ".github" / "workflows").iterdir():
        used = re.findall(r"uses: (.+)", workflow.read_text("utf-8"))
        assert [use for use in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", use)] == []
        assert used


def test_the_page_installs_by_hashes_and_has_no_secret_on_a_command_line() -> None:
    page = (ROOT / "docs" / "hosting.md").read_text("utf-8")
    installs = re.findall(r"pip install (.+)", page)
    assert installs
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    assert "--from-literal" not in page
    assert page.index("umask 077") < page.index("secrets/postgres_password")


def test_the_manifests_are_valid_for_kubernetes() -> None:
    kinds = []
    for manifest in MANIFESTS:
        validate(manifest, "1.33", strict=True)
        kinds.append(manifest["kind"])
    assert kinds == ["ConfigMap", "Deployment", "Deployment", "Service", "Ingress"]
    mistaken = {**MANIFESTS[1], "spec": {**MANIFESTS[1]["spec"], "replica": 1}}
    with pytest.raises(ValidationError):
        validate(mistaken, "1.33", strict=True)


def test_containers_are_user_1000_and_write_nothing_into_their_root() -> None:
    for part in ("desk", "loop"):
        service = COMPOSE["services"][part]
        assert (service["user"], service["read_only"], service["cap_drop"]) == ("1000:1000", True, ["ALL"])
        context = _container(part)["securityContext"]
        assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
    assert "\nUSER 1000:1000\n" in DOCKERFILE
    assert "\nHEALTHCHECK " in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE
    desk = _container("desk")
    assert desk["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert desk["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_image_copies_what_its_build_reads() -> None:
    for line in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", DOCKERFILE):
        assert [name for name in line.split() if not (ROOT / name).exists()] == []
    locked = (ROOT / "requirements" / "image.txt").read_text("utf-8")
    for package in ("psycopg", "joserfc", "apprise", "hatchling", "starlette"):
        assert re.search(rf"(?m)^{package}(\[\w+\])?==", locked), package


def test_git_ignores_the_secrets_of_compose() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    folders = {f"/deploy/docker/{Path(secret['file']).parent.as_posix()}/" for secret in COMPOSE["secrets"].values()}
    assert {*folders, ".env"} <= {*ignored}


def test_each_secret_and_volume_that_a_service_names_is_declared() -> None:
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
        assert set(service.get("networks", ())) <= COMPOSE["networks"].keys()
        named = {volume.partition(":")[0] for volume in service.get("volumes", ()) if not volume.startswith(".")}
        assert named <= COMPOSE["volumes"].keys()
    workspace = next(each for each in MANIFESTS if each["kind"] == "ConfigMap")["data"]
    mounts = [mount for mount in _container("loop")["volumeMounts"] if mount["name"] == "workspace"]
    assert {mount["subPath"] for mount in mounts} == workspace.keys()


# ---- the commands ----------------------------------------------------------------------------------------------------


@contextmanager
def _clean_folder() -> Iterator[Path]:
    """A folder that user 1000 may enter; pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="hf-gate-deploy-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _identity() -> dict[str, int]:
    """Run as user 1000 where this process may change its user, and that user may run this Python."""
    if os.geteuid() != 0:
        return {}
    found = {"user": USER, "group": USER}
    tried = subprocess.run([sys.executable, "-c", ""], check=False, capture_output=True, **found)  # type: ignore[call-overload]
    return found if tried.returncode == 0 else {}


def _spawn(words: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    child: subprocess.Popen[str] = subprocess.Popen(
        [*PROGRAM, *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, **_identity(),
    )  # type: ignore[call-overload]  # fmt: skip
    return child


def _finish(words: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    child = _spawn(words, folder, environment)
    try:
        out = child.communicate(timeout=60)[0]
        return child.returncode, out
    finally:
        child.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read_until(child: subprocess.Popen[str], words: str) -> None:
    """Read what a program prints until a line has these words."""
    assert child.stdout is not None
    lines = []
    for line in child.stdout:
        lines.append(line)
        if words in line:
            return
    pytest.fail("".join(lines))


def _answers(url: str) -> bool:
    try:
        answer = httpx2.get(url, headers={"Host": "10.1.2.3:7860"}, timeout=5)  # as a probe of Kubernetes asks
    except httpx2.HTTPError:
        return False
    return answer.text == "ok\n"


def test_the_three_ways_start_the_same_commands() -> None:
    for part in ("loop", "desk"):
        plain = set()
        for words in _commands(part):
            line = re.sub(r"^--token-file \S+ ", "", " ".join(words))
            plain.add(re.sub(r" --host 0\.0\.0\.0| --public-url .*", "", line))
        assert len(plain) == 1, plain


def test_the_loop_and_the_desk_run_as_user_1000_without_a_home() -> None:
    with LocalHub(requests=20, repos=1) as hub, _clean_folder() as folder:
        workspace, token = folder / "workspace", folder / "token"
        workspace.mkdir()
        token.write_text(hub.tokens["owner"], "utf-8")
        for path in (folder, workspace, token):
            os.chown(path, USER, USER) if os.geteuid() == 0 else None
        environment = {
            "PATH": os.environ["PATH"], "HF_ENDPOINT": hub.url, "HOME": "/nonexistent",
            "HF_GATE_WORKSPACE": str(workspace), "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_STATE_HOME": str(folder / "state"),
        }  # fmt: skip
        first = ["--token-file", str(token), "--workspace", str(workspace), "init"]
        code, out = _finish(first, workspace, environment)
        assert code == 0, out
        port = _free_port()

        def local(word: str) -> str:
            word = re.sub(r"^/\S+token$", str(token), word)
            return (
                "https://desk.example.org" if word.startswith(("https://", "${")) else word.replace("7860", str(port))
            )

        for given in dict.fromkeys(tuple(map(local, words)) for words in _commands("loop") + _commands("desk")):
            child = _spawn(given, workspace, environment)
            try:
                if "run" in given:
                    _read_until(child, "the turn ended")
                    assert _finish(["status", "--check"], workspace, environment)[0] == 0
                    assert _finish(["run", "--every", "1m"], workspace, environment)[0] in (4, 75)
                else:
                    _read_until(child, "Sign in once")
                    assert _answers(f"http://127.0.0.1:{port}/readyz")
                    assert _answers(f"http://127.0.0.1:{port}/healthz")
                    assert "/sign-in?t=" in _finish(["ui", "--no-open"], workspace, environment)[1]
            finally:
                child.send_signal(signal.SIGTERM)
                out = child.communicate(timeout=30)[0]
            assert child.returncode in (0, 143), out


def test_what_a_restart_cannot_mend_ends_with_the_codes_that_do_not_restart() -> None:
    with LocalHub(requests=5, repos=1) as hub, _clean_folder() as folder:
        if os.geteuid() == 0:
            os.chown(folder, USER, USER)
        token = folder / "token"
        token.write_text("hf_wrong", "utf-8")
        token.chmod(0o644)
        (folder / "hf-gate.yaml").write_text(f"version: 1\nrepos: [{DATASET}]\n", "utf-8")
        environment = {
            "PATH": os.environ["PATH"],
            "HF_ENDPOINT": hub.url,
            "HOME": "/nonexistent",
            "XDG_CACHE_HOME": str(folder),
        }
        loop = [re.sub(r"^/\S+token$", str(token), word) for word in _commands("loop")[0]]
        wrong = ["sometimes" if word == "auto" else word for word in loop]
        assert _finish(wrong, folder, environment)[0] == 2
        code, out = _finish(["--token-file", str(token), "run", "--once"], folder, environment)
        assert code == 4, out
