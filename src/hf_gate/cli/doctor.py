"""doctor: what stands between this user and the first decision, each finding with its next step."""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Final

import click

from .. import __version__
from ..domain.accounts import TokenRights
from ..domain.ids import Repo
from ..errors import NO_TOKEN_HINT, HfGateError, NotAllowed
from .framework import Run, command, explain_unauthorized, repo_type_option
from .output import count_of, describe_clock_skew
from .targets import parse_repo_argument
from .token_rights import NEEDED, ONE_EACH, check_decide_right, describe_reach

_TRIED: Final = 3  # owners at one of whose repos the token is tried
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
    yield _run_check(run, "workspace", lambda: _workspace(run))
    token = _run_check(run, "token", lambda: _token(run))
    yield token
    if token.ok is False and token.code != 4:
        return  # nobody answers: asking for repos would only wait once more
    yield from _clock(run)
    for text in repos:
        yield _run_check(run, "repo", lambda text=text: _repo(run, text, repo_type))  # type: ignore[misc]
    if token.ok is False:
        return
    if not repos:
        yield from _own_repos(run)
    yield from _reach(run)


def _run_check(run: Run, check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except HfGateError as problem:
        if isinstance(problem, NotAllowed) and problem.status == HTTPStatus.UNAUTHORIZED:
            explain_unauthorized(run, problem)
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


def _workspace(run: Run) -> Finding:
    from .git_tracked import list_tracked_personal_files  # noqa: PLC0415 - only who looks

    folder = run.location.folder
    if folder is None:
        return Finding("workspace", True, "no workspace here; commands use your personal store")
    if names := list_tracked_personal_files(folder):
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return Finding(
            "workspace",
            None,
            f"{run.location.title}: git keeps {shown}, with people's names and answers",
            "`git rm --cached` them and commit; what was pushed before is still in its history.",
        )
    return Finding(
        "workspace", True, f"{run.location.title}, {count_of(len(run.location.config.repos), 'line')} of repos"
    )


def _surroundings() -> Iterator[Finding]:
    for name in (
        *(form for proxy in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY") for form in (proxy, proxy.lower())),
        "SSL_CERT_FILE",
        "HF_HUB_OFFLINE",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "HF_GATE_CLOCK",
    ):
        if os.environ.get(name):
            shown = os.environ[name] if "PROXY" not in name.upper() else "set"  # a proxy's address may hold a password
            yield Finding("setting", None, f"{name} is {shown}")


def _token(run: Run) -> Finding:
    from .. import bootstrap  # noqa: PLC0415 - help needs none of it

    where = bootstrap.name_of_hub(run.settings)
    if not bootstrap.has_token(run.settings):
        return Finding("token", False, f"no token for {where}", NO_TOKEN_HINT, 4)
    account = run.connection.account = run.hub.whoami()
    role = account.token_role or "unknown"
    orgs = f", organisations {', '.join(account.orgs)}" if account.orgs else ""
    return Finding("token", True, f"{where} knows it as {account.name}, role {role}{orgs}")


def _reach(run: Run) -> Iterator[Finding]:
    """Where the token may act beside the repos of the workspace: a token that is stolen is worth all of them."""
    if run.account is None or run.location.folder is None:
        return
    if said := describe_reach(run.account.rights, run.location.config.includes):
        yield Finding("reach", None, said, ONE_EACH)


def _clock(run: Run) -> Iterator[Finding]:
    """What the answer to the token's call told of the time."""
    from ..protocol.clock_skew import MAX_TRUSTED_S, WARN_ABOVE_S  # noqa: PLC0415 - as above

    skew = run.hub.skew or 0.0
    if abs(skew) <= WARN_ABOVE_S:
        return
    detail = describe_clock_skew(skew) + (": no grant is ended by it" if abs(skew) > MAX_TRUSTED_S else "")
    hint = "Set it right; HF_GATE_CLOCK=hub follows the clock of a local Hub."
    yield Finding("clock", None, detail, hint)


def _own_repos(run: Run) -> Iterator[Finding]:
    """The gated repos of the account and its organisations, and what the token may do at one of each owner."""
    found: list[Repo] = []
    try:
        account = run.account
        owners = (account.name, *account.orgs) if account else ()
        found += (gate.repo for owner in owners for gate in run.hub.gated_repos(owner))
    except HfGateError as problem:
        yield Finding("repos", False, str(problem), problem.hint or None, problem.exit_code)
        return
    if not found:
        yield Finding(
            "repos", None, "no gated repo of this account", "`hf repos settings REPO --gated manual` gates one."
        )
        return
    names = ", ".join(map(str, found[:5])) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    yield Finding("repos", True, f"gated: {names}")
    tried = list({repo.namespace: repo for repo in reversed(found)}.values())[::-1][:_TRIED]
    alike: dict[Finding, list[str]] = {}
    for repo in tried:
        alike.setdefault(_run_check(run, "rights", lambda repo=repo: _rights(run, repo)), []).append(str(repo))  # type: ignore[misc]
    for finding, repos in alike.items():
        yield replace(finding, detail=f"{', '.join(repos)}: {finding.detail}")


def _rights(run: Run, repo: Repo) -> Finding:
    """What the token may do at a repo: one call shows whether it may list; whether it may decide only its role tells."""
    listing = run.hub.list_pending(repo)
    try:
        next(listing, None)
    except NotAllowed as problem:
        if problem.status != 403:
            raise
        return Finding("rights", False, "this token may neither list requests nor decide (403)", NEEDED, 4)
    finally:
        listing.close()
    may, why = check_decide_right(run.account.rights if run.account else TokenRights(), repo)
    if may is None:
        return Finding("rights", True, f"this token may list requests; whether it may decide is not known: {why}")
    if may:
        return Finding("rights", True, f"this token may list requests, and by {why} decide (not tried)")
    return Finding("rights", None, f"this token may list requests and not decide: {why}", NEEDED)


def _repo(run: Run, text: str, repo_type: str | None) -> Finding:
    repo = parse_repo_argument(text, repo_type)
    gate = run.hub.gate(repo)
    if gate.mode is False:
        return Finding("repo", None, f"{repo} is not gated", f"`hf repos settings {text} --gated manual` gates it.")
    rights = _rights(run, repo)
    return replace(rights, check="repo", detail=f"{repo}: gated {gate.mode}; {rights.detail}")
