"""Reads the targets of a decision command, expands globs of repos, suggests names, and reads reason, note and end."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.base.private_files import read_regular_file
from hf_gate.core.lifecycle import STATUS_AFTER_VERB, STATUSES, VERBS_WITH_REASON, Status
from hf_gate.errors import HfGateError, InvalidRepo, InvalidTarget, RequestNotFound, UsageError
from hf_gate.requests.service.targets import (
    SPELLINGS,
    USER_AT,
    USERNAME,
    RequestTarget,
    parse_target,
    parse_target_lines,
)

from .framework import repeat_command
from .workspace_opening import open_stored_workspace

if TYPE_CHECKING:
    from hf_gate.core.stored_rows import RequestRow
    from hf_gate.decisions.service.direct_decisions import Choice, DecisionTarget
    from hf_gate.hub.client import Hub
    from hf_gate.messages.reason_templates import ReasonTemplate
    from hf_gate.settings.service.workspace import Workspace

    from .framework import CommandContext


def read_targets(
    context: CommandContext, words: Sequence[str], file: str | None, repo: str | None, repo_type: str | None
) -> list[RequestTarget]:
    """Return the targets without duplicates, in the order given. An invalid line raises an error with its number."""
    default_repo = context.parse_repo(repo, repo_type) if repo is not None else None
    if (
        default_repo is None
        and len(words) == (1 if file else 2)
        and (file or words[1] == "-")
        and not USER_AT.match(words[0])
    ):
        # REPO --from FILE, REPO -
        default_repo = _parse_first_repo(context, words, repo_type)
        words = words[1:]
    if file is not None and words:
        raise InvalidTarget("targets cannot be given both as arguments and with --from.")
    if file is None and not words:
        raise InvalidTarget("no target is given.", hint=SPELLINGS)
    if file is not None or list(words) == ["-"]:
        only = find_only_repo(context)
        targets = parse_target_lines(_read_file(file or "-"), default_repo, repo_type, context.endpoint, only)
    else:
        targets = _parse_words(context, words, default_repo, repo_type)
    return list({target.key: target for target in reversed(list(targets))}.values())[::-1]


def _read_file(file: str) -> str:
    try:
        return (sys.stdin.buffer.read() if file == "-" else read_regular_file(Path(file))).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text; nothing was sent.") from None
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}; nothing was sent.") from None


def _parse_words(
    context: CommandContext, words: Sequence[str], default_repo: Repo | None, repo_type: str | None
) -> Iterator[RequestTarget]:
    if default_repo is None and not (USER_AT.match(words[0]) or words[0].startswith("{")):
        default_repo = _parse_first_repo(context, words, repo_type)
        words = words if USERNAME.match(words[0]) else words[1:]
        if not words:
            raise InvalidTarget(
                f"no person is given for {default_repo}.",
                hint=f"`hf-gate ls {default_repo}` lists the requests. {SPELLINGS}",
            )
    for word in words:
        yield parse_target(word, default_repo, repo_type, context.endpoint)


def find_only_repo(context: CommandContext) -> Repo | None:
    """Return the repo of a workspace that names exactly one; None without such a workspace."""
    named = () if context.location.folder is None else context.location.config.repos
    return context.parse_repo(named[0], None) if len(named) == 1 and "*" not in named[0] else None


def parse_repo_argument(context: CommandContext, text: str | None, repo_type: str | None) -> Repo:
    """Parse an argument as a repo. Without one, return the only repo of the workspace.

    If the argument is a person or an owner, the error suggests the right command.
    """
    if text is None:
        if only := find_only_repo(context):
            return only
        raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'REPO'", param_type="argument")
    try:
        return context.parse_repo(text, repo_type)
    except InvalidRepo as problem:
        match = USER_AT.match(text)
        if match and _is_repo(context, match[2], repo_type):
            problem.hint = f"`hf-gate show {text}` shows one person. Here, write {match[2]}."
        elif USERNAME.match(text):
            problem.hint += f" `hf-gate repos ls {text}` lists the gated repos of {text}."
        raise


def parse_person_or_repo(context: CommandContext, word: str, repo_type: str | None) -> RequestTarget | Repo:
    """Parse USER@REPO as a request target, anything else as a repo."""
    if USER_AT.match(word):
        return parse_target(word, None, repo_type, context.endpoint)
    return parse_repo_argument(context, word, repo_type)


def _parse_first_repo(context: CommandContext, words: Sequence[str], repo_type: str | None) -> Repo:
    """Parse the first word as a repo. For a person, return the only repo of the workspace, or suggest a command."""
    try:
        return context.parse_repo(words[0], repo_type)
    except InvalidRepo:
        if not USERNAME.match(words[0]):
            raise
    repo = next((word for word in words[1:] if _is_repo(context, word, repo_type)), None)
    if repo is None:
        if only := find_only_repo(context):
            return only
        people = ", ".join(words)
        raise InvalidTarget(
            f"no repo is given for {people}.", hint=f"Write the repo first: {repeat_command(['REPO', *words])}"
        )
    others = [word for word in words if word != repo]
    raise InvalidTarget(
        f"{words[0]!r} is not a repo id, but the repo must come first.", hint=repeat_command([repo, *others])
    )


def _is_repo(context: CommandContext, word: str, repo_type: str | None) -> bool:
    try:
        return bool(context.parse_repo(word, repo_type))
    except HfGateError:
        return False


class DecisionCommand(Struct, frozen=True):
    """A decision command: its targets, and the options that apply to all of them."""

    verb: str
    targets: Sequence[RequestTarget]
    reason: str | None = None
    template: ReasonTemplate | None = None
    how: str = "reset"
    note: str | None = None
    until: str | None = None
    is_dry_run: bool = False
    is_confirmed: bool = False
    max_targets: int = 100
    max_changes: int | None = None
    is_from_stdin: bool = False

    @property
    def effect(self) -> str:
        """Return the verb sent to the Hub: a revocation is a reset, rejection or cancellation."""
        return self.how if self.verb == "revoke" else self.verb

    @property
    def has_reason(self) -> bool:
        """Return whether people get a reason."""
        return self.reason is not None or self.template is not None

    @property
    def choice(self) -> Choice:
        """Return the decision that applies to all targets."""
        from hf_gate.decisions.service.direct_decisions import Choice

        is_grant = self.verb == "grant"
        return Choice(STATUS_AFTER_VERB[self.effect], is_grant=is_grant, note=self.note, until=self.until)

    def decision_targets(self) -> list[DecisionTarget]:
        """Return the targets, each with its reason."""
        from hf_gate.decisions.service.direct_decisions import DecisionTarget

        return [DecisionTarget(target.repo, target.target, self.reason_for(target)) for target in self.targets]

    def reason_for(self, target: RequestTarget) -> str | None:
        """Return the reason for one person; None if none is sent."""
        if self.effect not in VERBS_WITH_REASON:
            return None
        if self.template is None:
            return self.reason
        request = target.target.request
        return self.template.fill(target.repo, target.target.username or (request.username if request else None))


# ---- globs of repos --------------------------------------------------------------------------------------------------


_USER_AT_GLOB: Final = re.compile(r"([^/:\s{]+)@(?!\S*://)(\S*[*?]\S*)\Z")
_EVERY_REPO: Final = "*"
# The status that a request must have to match USER@GLOB. USER@REPO matches any status.
_STATUS_OF_VERB: Final = {
    "accept": Status.PENDING,
    "reject": Status.PENDING,
    "reset": Status.PENDING,
    "cancel": Status.ACCEPTED,
    "revoke": Status.ACCEPTED,
}


def expand_target_globs(context: CommandContext, words: Sequence[str], verb: str, repo_type: str | None) -> list[str]:
    """Return the arguments with each USER@GLOB expanded."""
    found: list[str] = []
    for word in words:
        match = _USER_AT_GLOB.match(word)
        if match is None:
            found.append(word)
        else:
            is_every = match[2] == _EVERY_REPO and repo_type is None
            found += _expand_glob(context, match[1], None if is_every else _parse_typed_glob(match[2], repo_type), verb)
    return found


def _parse_typed_glob(text: str, repo_type: str | None) -> str:
    """Return a pattern of repos, with the type for a bare ns/name."""
    from hf_gate.core.parsing.literals import InvalidLiteralError, parse_glob

    bare = repo_type is not None and not re.match(r"(models?|datasets?)[:/]", text)
    try:
        return parse_glob(f"{repo_type}:{text}" if bare else text)
    except InvalidLiteralError as problem:
        hint = f"Did you mean {problem.fix}?" if problem.fix else None
        raise InvalidTarget(str(problem), hint=hint) from None


def _expand_glob(context: CommandContext, user: str, glob: str | None, verb: str) -> list[str]:
    """Return the targets of USER at the matching repos in the store. USER is anything that identifies a person."""
    text = f"{user}@{glob or _EVERY_REPO}"
    workspace = open_stored_workspace(context)
    if workspace is None:
        raise UsageError(f"{text} needs the store, but there is none.", hint="Create the store: hf-gate sync")
    repos = list(_find_matching_repos(workspace, glob))
    rows = [row for row in workspace.store.find_by_identity(None, user) if row.repo in repos]
    people = {row.person.id: row.person.identity for row in rows}
    if len(people) > 1:
        raise InvalidTarget(
            f"{len(people)} accounts match {user}.",
            hint=f"Use an account id or pseudonym: hf-gate person show {user}",
        )
    if verb == "grant":
        name = next((who.username for who in people.values()), None) or user
        targets = [f"{name}@{_typed_id(repo)}" for repo in repos]
        missing = "repo in the store matches"
    else:
        targets = [_target_word(row, user) for row in rows if row.state.status == _STATUS_OF_VERB[verb]]
        missing = f"request of {user} there is {_STATUS_OF_VERB[verb]}"
    if not targets:
        raise RequestNotFound(f"{text}: no {missing}.", hint="To read new requests: hf-gate sync")
    return targets


def _target_word(row: RequestRow, user: str) -> str:
    """Return USER@REPO if USER is the username, else a line of `ls --format jsonl`, which identifies
    the person by ids.
    """
    identity = row.person.identity
    if (identity.username or "").lower() == user.lower():
        return f"{user}@{_typed_id(row.repo)}"
    return json.dumps(
        {
            "repo": row.repo.id,
            "repo_type": row.repo.type.value,
            "request_id": row.state.hub_request,
            "user_id": identity.user_id,
            "user": identity.username,
        }
    )


def _find_matching_repos(workspace: Workspace, glob: str | None) -> Iterator[Repo]:
    """Iterate over the repos in the store that match a pattern (None: all) and belong to the workspace."""
    from hf_gate.core.parsing.literals import glob_matches

    has_folder = workspace.location.folder is not None
    for row in workspace.store.repos():
        is_match = glob is None or glob_matches(glob, row.repo)
        if is_match and (not has_folder or workspace.location.config.includes(row.repo)):
            yield row.repo


def _typed_id(repo: Repo) -> str:
    return f"{repo.type.value}:{repo.id}"


# ---- stored requests -------------------------------------------------------------------------------------------------


def find_latest_request(workspace: Workspace, target: RequestTarget) -> RequestRow | None:
    """Return the latest stored request of a target, if there is one."""
    from hf_gate.verdicts.service.evaluation import latest_request

    known = target.target
    key = known.request_id or known.user_id or known.username or ""
    return latest_request(workspace.store.find_by_identity(target.repo, key))


def find_stored_request(workspace: Workspace, target: RequestTarget) -> RequestRow:
    """Return the latest stored request of a target; raise RequestNotFound without one."""
    row = find_latest_request(workspace, target)
    if row is None:
        raise RequestNotFound(f"there is no request of {target} in the store.", hint="Read it: hf-gate sync")
    return row


# ---- suggestions -----------------------------------------------------------------------------------------------------


_MAX_ROWS: Final = 1000  # rows read from each list: as many as the Hub returns in one call
_MIN_CALLS_LEFT: Final = 20  # minimum of calls left in the budget; with fewer, no suggestions are made


def did_you_mean(hub: Hub, repo: Repo, name: str | None) -> str:
    """Return e.g. `Did you mean ada-l or ada-k? `, else ''.

    Takes at most one call per list; errors of the Hub are ignored.
    """
    return _format_suggestion(_similar_names(name, _read_usernames(hub, repo))) if name else ""


def suggest_names(hub: Hub, repo: Repo, names: Sequence[str]) -> Iterator[str]:
    """Return suggestions for several names of one repo; the lists are read once."""
    listed = _read_usernames(hub, repo)
    for name in names:
        if near := _similar_names(name, listed):
            yield f"{name}: {_format_suggestion(near)}".strip()


def _format_suggestion(names: Sequence[str]) -> str:
    return f"Did you mean {' or '.join(names)}? " if names else ""


def _similar_names(name: str, listed: Mapping[str, str]) -> list[str]:
    others = [key for key in listed if key != name.lower()]
    return [listed[key] for key in difflib.get_close_matches(name.lower(), others, n=3, cutoff=0.7)]


def _read_usernames(hub: Hub, repo: Repo) -> dict[str, str]:
    """Return the requesters of a repo by lower-case name; none if the call budget is low."""
    left = hub.outlook().remaining
    if left is not None and left < _MIN_CALLS_LEFT:
        return {}
    names: dict[str, str] = {}
    for status in STATUSES:
        listing = hub.list(repo, status)
        try:
            for request in islice(listing, _MAX_ROWS):
                if request.username and USERNAME.match(request.username):  # safe in a shell
                    names[request.username.lower()] = request.username
        except HfGateError:
            continue  # suggestions are optional
        finally:
            listing.close()
    return names
