"""doctor: what stands between this user and the first decision, each finding with its next step."""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Final

import click

from .. import __version__
from ..domain.ids import parse_repo
from ..errors import HfGateError
from .frame import Run, command, repo_type_option

_MARKS: Final = {True: "ok  ", False: "FAIL", None: "note"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `ok` None: worth knowing, but in nobody's way."""

    check: str
    ok: bool | None
    detail: str
    hint: str | None = None
    code: int = 1


@command("doctor", examples=("hf-gate doctor", "hf-gate doctor datasets/acme/eeg --json"))
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
def doctor(run: Run, *, repos: tuple[str, ...], repo_type: str | None) -> int:
    """Check versions, files, token and Hub, and whether requests of REPO can be seen and decided. Changes nothing."""
    findings = list(_look(run, repos, repo_type))
    bad = [finding for finding in findings if finding.ok is False]
    doc = {
        "schema_version": 1,
        "ok": not bad,
        "checks": [{"check": f.check, "ok": f.ok, "detail": f.detail, "hint": f.hint} for f in findings],
    }
    run.out.document(doc, lambda: _lines(findings), quiet=[f.check for f in bad])
    return bad[0].code if bad else 0


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{_MARKS[finding.ok]}  {finding.check:10} {finding.detail}"
        if finding.hint and finding.ok is not True:
            yield f"      {'':10} {finding.hint}"


def _look(run: Run, repos: Sequence[str], repo_type: str | None) -> Iterator[Finding]:
    yield _versions()
    yield from _files(run)
    yield from _surroundings()
    token = _tried("token", lambda: _token(run))
    yield token
    if token.ok is False and token.code != 4:
        return  # nobody answers: asking for repos would only wait once more
    for text in repos:
        yield _tried("repo", lambda text=text: _repo(run, text, repo_type))  # type: ignore[misc]
    if not repos and token.ok is not False:
        yield _tried("repos", lambda: _own_repos(run))


def _tried(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except HfGateError as problem:
        return Finding(check, False, str(problem), problem.hint or None, problem.exit_code)


def _versions() -> Finding:
    try:
        hub = version_of("huggingface_hub")
    except PackageNotFoundError:
        hub = "missing"
    return Finding(
        "versions", True, f"hf-gate {__version__}, huggingface_hub {hub}, Python {platform.python_version()}"
    )


def _files(run: Run) -> Iterator[Finding]:
    paths = run.settings.paths
    if paths.config_file.exists():
        mode = stat.S_IMODE(paths.config_file.stat().st_mode)
        open_to_others = bool(mode & 0o077)
        hint = f"chmod 600 {paths.config_file}" if open_to_others else None
        yield Finding("config", None if open_to_others else True, f"{paths.config_file}, mode {mode:04o}", hint)
    else:
        yield Finding("config", True, f"no {paths.config_file}: none is needed")
    for name in ("data", "state", "cache"):
        folder = getattr(paths, name)
        nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not os.access(nearest, os.W_OK):
            yield Finding(
                name, False, f"{folder} cannot be written", f"Make {nearest} writable, or set XDG_{name.upper()}_HOME."
            )


def _surroundings() -> Iterator[Finding]:
    for name in (
        "HTTPS_PROXY",
        "https_proxy",
        "SSL_CERT_FILE",
        "HF_HUB_OFFLINE",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "HF_GATE_CLOCK",
    ):
        if os.environ.get(name):
            shown = os.environ[name] if "PROXY" not in name.upper() else "set"  # a proxy's address may hold a password
            yield Finding("setting", None, f"{name} is {shown}")


def _token(run: Run) -> Finding:
    from .. import wiring  # noqa: PLC0415 - help needs none of it

    where = wiring.hub_name(run.settings)
    if not wiring.has_token(run.settings):
        return Finding("token", False, f"no token for {where}", "`hf auth login`, or set HF_TOKEN.", 4)
    account = run.hub.whoami()
    role = account.token_role or "unknown"
    orgs = f", organisations {', '.join(account.orgs)}" if account.orgs else ""
    detail = f"{where} knows it as {account.name}, role {role}{orgs}"
    if role == "read":
        return Finding("token", None, detail, "It can list and not decide: make one with write access to decide.")
    return Finding("token", True, detail)


def _own_repos(run: Run) -> Finding:
    account = run.account
    owners = (account.name, *account.orgs) if account else ()
    found = [gate.repo for owner in owners for gate in run.hub.gated_repos(owner)]
    if not found:
        return Finding(
            "repos", None, "no gated repo of this account", "`hf repos settings REPO --gated manual` gates one."
        )
    names = ", ".join(map(str, found[:5])) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    return Finding("repos", True, f"gated: {names}")


def _repo(run: Run, text: str, repo_type: str | None) -> Finding:
    repo = parse_repo(text, repo_type)
    gate = run.hub.gate(repo)
    if gate.mode is False:
        return Finding("repo", None, f"{repo} is not gated", f"`hf repos settings {text} --gated manual` gates it.")
    next(run.hub.list_pending(repo), None)  # raises for who may not see it
    return Finding("repo", True, f"{repo}: gated {gate.mode}, its requests can be read")
