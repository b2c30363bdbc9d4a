"""doctor: checks everything that a first decision needs. Each problem comes with the next step."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct
from msgspec.structs import replace

from hf_gate import __version__
from hf_gate.base.batches import group_pairs
from hf_gate.base.display_text import name_first
from hf_gate.base.ids import Repo
from hf_gate.base.timestamps import describe_clock_skew
from hf_gate.command_line.framework import CommandContext, command, explain_refused_token, repo_type_option
from hf_gate.command_line.hub.token_rights import (
    DECIDE_HINT,
    ONE_TOKEN_PER_WORKSPACE,
    check_decide_right,
    describe_reach,
)
from hf_gate.command_line.targets import parse_repo_argument
from hf_gate.command_line.workspace_opening import open_stored_workspace
from hf_gate.core.people.accounts import TokenRights
from hf_gate.errors import NO_TOKEN_HINT, HfGateError, NotAllowed, StoreMissing, to_command_hint
from hf_gate.hub.credentials import name_token_source
from hf_gate.hub.protocol.clock_skew import MAX_TRUSTED_S, WARN_ABOVE_S
from hf_gate.workspace.records import DoctorRecord, FindingRecord

if TYPE_CHECKING:
    from hf_gate.automation.service.health import OpenProblem
    from hf_gate.core.records import HealthRecord

_TRIED: Final = 3  # the most owners; the token is tried at one repo of each
_WHY_HINT: Final = "To see whether you can download: hf-gate why REPO"
_MARKS: Final = {True: "ok  ", False: "FAIL", None: "note"}


class Finding(Struct, frozen=True):
    """The result of one check. `ok` is None for a note; a note with a code says what this token cannot do."""

    check: str
    ok: bool | None
    detail: str
    hint: str | None = None
    code: int | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of a command that needs this; 0 if nothing is missing."""
        return self.code if self.code is not None else int(self.ok is False)


@command("doctor", examples=("hf-gate doctor", "hf-gate doctor datasets/acme/eeg --json"))
@click.argument("repos", nargs=-1, metavar="[REPO]...")
@repo_type_option
def doctor(context: CommandContext, *, repos: tuple[str, ...], repo_type: str | None) -> int:
    """Check versions, files, the token and the Hub, and whether you can see and decide requests of REPO.

    Changes nothing. A token that may not review is a note, with exit code 4; `hf-gate why REPO` tells what it can
    download.
    """
    findings = list(_run_checks(context, repos, repo_type))
    problems, health = _read_store(context, findings)
    bad = [finding for finding in findings if finding.exit_code]
    checks = [FindingRecord(check=f.check, ok=f.ok, detail=f.detail, hint=f.hint) for f in findings]
    context.out.document(
        DoctorRecord(ok=not bad, checks=checks, problems=[problem.record for problem in problems], health=health),
        lambda: (*_finding_lines(findings), *_health_lines(health), *(problem.line for problem in problems)),
        quiet=[f.check for f in bad],
    )
    return bad[0].exit_code if bad else 0


def _read_store(context: CommandContext, findings: list[Finding]) -> tuple[list[OpenProblem], HealthRecord | None]:
    """Return what needs a person, and the health of unattended work. A store that cannot be opened is a finding."""
    from hf_gate.automation.service.health import health_record, list_problems, read_health

    try:
        workspace = open_stored_workspace(context)
        if workspace is not None:
            problems = list(list_problems(workspace))
            return problems, health_record(read_health(workspace.store, workspace.now(), problems))
    except StoreMissing as problem:
        findings.append(Finding("store", None, str(problem), to_command_hint(problem.hint)))
    except HfGateError as problem:
        findings.append(_describe_problem(context, "store", problem))
    return [], None


def _health_lines(health: HealthRecord | None) -> Iterator[str]:
    """Yield how unattended work failed; `status` says the rest."""
    if health is not None and not health.state.is_good:
        yield f"{health.state.upper()}: {health.sentence}"


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{_MARKS[finding.ok]}  {finding.check:10} {finding.detail}"
        if finding.hint and finding.ok is not True:
            yield f"      {'':10} {finding.hint}"


def _run_checks(context: CommandContext, repos: Sequence[str], repo_type: str | None) -> Iterator[Finding]:
    yield _check_versions()
    yield from _check_files(context)
    yield from _check_environment()
    yield _run_check(context, "workspace", lambda: _check_workspace(context))
    token = _run_check(context, "token", lambda: _check_token(context))
    yield token
    if token.ok is False:
        return  # the Hub does not answer, so asking for repos would only wait again
    yield from _check_clock(context)
    for text in repos:
        yield _run_check(context, "repo", lambda text=text: _check_repo(context, text, repo_type))  # type: ignore[misc]
    if token.ok is None:
        return
    if not repos:
        yield from _check_own_repos(context)
    yield from _check_reach(context)


def _run_check(context: CommandContext, check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except HfGateError as problem:
        return _describe_problem(context, check, problem)


def _describe_problem(context: CommandContext, check: str, problem: HfGateError) -> Finding:
    """Return a failure, or a note for a token that the Hub refuses: its holder may only want to download."""
    if not isinstance(problem, NotAllowed):
        return Finding(check, False, str(problem), to_command_hint(problem.hint) or None, problem.exit_code)
    explain_refused_token(context, problem)
    return Finding(check, None, str(problem), f"{to_command_hint(problem.hint)} {_WHY_HINT}", problem.exit_code)


def _check_versions() -> Finding:
    try:
        hub = version_of("huggingface_hub")
    except PackageNotFoundError:
        hub = "missing"
    return Finding(
        "versions", True, f"hf-gate {__version__}, huggingface_hub {hub}, Python {platform.python_version()}"
    )


def _check_files(context: CommandContext) -> Iterator[Finding]:
    paths = context.settings.paths
    if paths.config_file.exists():
        mode = stat.S_IMODE(paths.config_file.stat().st_mode)
        open_to_others = bool(mode & 0o077)
        hint = f"chmod 600 {paths.config_file}" if open_to_others else None
        yield Finding("config", None if open_to_others else True, f"{paths.config_file}, mode {mode:04o}", hint)
    else:
        yield Finding("config", True, f"no {paths.config_file}; it is optional")
    for name in ("data", "state", "cache"):
        folder = getattr(paths, name)
        nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
        is_writable = os.access(nearest, os.W_OK)
        hint = None if is_writable else f"Make {nearest} writable, or set XDG_{name.upper()}_HOME."
        yield Finding(name, is_writable, str(folder) if is_writable else f"{folder} is not writable", hint)


def _check_workspace(context: CommandContext) -> Finding:
    folder = context.location.folder
    if folder is None:
        return Finding("workspace", True, "no workspace here; commands use your personal store")
    if names := list_tracked_personal_files(folder):
        return Finding(
            "workspace",
            None,
            f"{context.location.title}: git tracks {name_first(names, 3)}, with people's names and answers",
            "Run `git rm --cached` on these files and commit. Earlier versions stay in the history.",
        )
    return Finding("workspace", True, context.location.title)


def _check_environment() -> Iterator[Finding]:
    for name in (
        *(form for proxy in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") for form in (proxy, proxy.lower())),
        "SSL_CERT_FILE",
        "HF_HUB_OFFLINE",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "HF_GATE_CLOCK",
    ):
        if os.environ.get(name):
            shown = (
                os.environ[name] if "PROXY" not in name.upper() else "set"
            )  # a proxy's address may contain a password
            yield Finding("setting", None, f"{name} is {shown}")


def _check_token(context: CommandContext) -> Finding:
    from hf_gate.workspace.service import bootstrap

    where = bootstrap.name_of_hub(context.settings)
    if not bootstrap.has_token(context.settings):
        hint = f"{name_token_source(NO_TOKEN_HINT, None)} {_WHY_HINT}"
        return Finding("token", None, f"no token for {where}, so you can review nothing there", hint, 4)
    account = context.connection.account = context.hub.whoami()
    role = account.token_role or "unknown"
    orgs = f", organisations {', '.join(account.orgs)}" if account.orgs else ""
    outlook = context.hub.outlook()
    left = "" if outlook.quota is None else f", {outlook.remaining:,} of {outlook.quota:,} calls left"
    return Finding("token", True, f"{where} accepts it as {account.name}, role {role}{orgs}{left}")


def _check_reach(context: CommandContext) -> Iterator[Finding]:
    """Report where else the token can act: a stolen token gives access to all of it."""
    if context.account is None or context.location.folder is None:
        return
    if reach := describe_reach(context.account.rights, context.location.config.includes):
        yield Finding("reach", None, reach, ONE_TOKEN_PER_WORKSPACE)


def _check_clock(context: CommandContext) -> Iterator[Finding]:
    """Report a wrong clock, using the time in the Hub's answer to the token check."""
    skew = context.hub.skew or 0.0
    if abs(skew) <= WARN_ABOVE_S:
        return
    detail = f"this machine's {describe_clock_skew(skew)}" + (
        "; no grant is ended until the clock is right" if abs(skew) > MAX_TRUSTED_S else ""
    )
    hint = "Correct this machine's clock. HF_GATE_CLOCK=hub follows the clock of a local Hub."
    yield Finding("clock", None, detail, hint)


def _check_own_repos(context: CommandContext) -> Iterator[Finding]:
    """Report the gated repos of the account and its organisations, and the token's rights at one repo of each owner."""
    found: list[Repo] = []
    try:
        account = context.account
        owners = (account.name, *account.orgs) if account else ()
        found += (gate.repo for owner in owners for gate in context.hub.gated_repos(owner))
    except HfGateError as problem:
        yield _describe_problem(context, "repos", problem)
        return
    if not found:
        yield Finding(
            "repos", None, "no gated repo of this account", "To gate a repo: `hf repos settings REPO --gated manual`."
        )
        return
    yield Finding("repos", True, f"gated: {name_first(found, 5)}")
    tried = list({repo.namespace: repo for repo in reversed(found)}.values())[::-1][:_TRIED]
    rights = ((_run_check(context, "rights", partial(_check_rights, context, repo)), str(repo)) for repo in tried)
    for finding, repos in group_pairs(rights).items():
        yield replace(finding, detail=f"{', '.join(repos)}: {finding.detail}")


def _check_rights(context: CommandContext, repo: Repo) -> Finding:
    """Report the token's rights at a repo: one call tests listing; the right to decide is derived from
    the role alone.
    """
    listing = context.hub.list_pending(repo)
    try:
        next(listing, None)
    except NotAllowed as problem:
        if problem.status != 403:
            raise
        what = "this token can neither list nor decide requests (403)"
        return Finding("rights", None, what, f"{DECIDE_HINT} {_WHY_HINT}", 4)
    finally:
        listing.close()
    may, why = check_decide_right(context.account.rights if context.account else TokenRights(), repo)
    if may is None:
        return Finding("rights", True, f"this token can list requests; whether it can decide is unknown: {why}")
    if may:
        return Finding("rights", True, f"this token can list requests; it should also be able to decide: {why}")
    return Finding("rights", None, f"this token can list requests but not decide: {why}", DECIDE_HINT)


def _check_repo(context: CommandContext, text: str, repo_type: str | None) -> Finding:
    repo = parse_repo_argument(context, text, repo_type)
    gate = context.hub.gate(repo)
    if gate.mode is False:
        return Finding(
            "repo", None, f"{repo} is not gated", f"To gate the repo: `hf repos settings {text} --gated manual`."
        )
    rights = _check_rights(context, repo)
    return replace(rights, check="repo", detail=f"{repo}: gated {gate.mode}; {rights.detail}")


def list_tracked_personal_files(folder: Path) -> list[str]:
    """Return the names of these files relative to the folder; none without git or outside a git repository."""
    from hf_gate.workspace.service.starter_workspace import GITIGNORE

    git = shutil.which("git")
    if git is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - git itself, with our own file names
            [git, "-C", str(folder), "ls-files", "-z", "--", *GITIGNORE], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = done.stdout.decode("utf-8", "replace").split("\0") if done.returncode == 0 else []
    return sorted(filter(None, names))
