"""Describes what the token can do: the topic `help token`, and lines of `doctor` and `init`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from hf_gate.base.display_text import pluralize
from hf_gate.core.people.accounts import DECIDE_PERMISSION, UNCERTAIN_PERMISSION, TokenRights
from hf_gate.errors import ACCESS_HELP, NO_TOKEN_HINT, HfGateError, NotAllowed

if TYPE_CHECKING:
    from hf_gate.base.ids import Repo
    from hf_gate.command_line.framework import CommandContext

_MAX_NAMES: Final = 3  # the most repos named in a warning
DECIDE_HINT: Final = (
    f"To decide: the write role, or a fine-grained token with write access ({DECIDE_PERMISSION}) to it. {ACCESS_HELP}"
)
ONE_TOKEN_PER_WORKSPACE: Final = f"A fine-grained token for only these repos is safer. {ACCESS_HELP}"

HELP_TOPIC: Final = """\
Create two fine-grained tokens at https://huggingface.co/settings/tokens, for only the repos of the workspace:

  to view     repo.content.read   Read access to contents of selected repos
              repo.access.read    View access requests for all selected gated repos
  to decide   the two above, and
              repo.write          Write access to contents and settings of selected repos

repo.write also allows pushing files. Use a separate token for each workspace, and use it nowhere else.
Your account needs the write role at the repo (owner, or write or admin in the organisation). Some organisations have to
approve a fine-grained token before it works there.

A classic token with the write role can decide at every repo of the account. A classic read token cannot view requests.

  hf auth login               store a token for `hf` and hf-gate
  HF_TOKEN=...                a token for one shell
  hf-gate --token-file FILE   a token for one command
  hf-gate doctor              check what the token can do, and where

Rotate or revoke a token on the same page. A new value works at once, and past decisions stay. See docs/token.md.
"""


def read_rights(context: CommandContext) -> TokenRights:
    """Ask the Hub for the token's rights. The rights are not cached, because they can be edited."""
    try:
        return context.hub.whoami().rights
    except HfGateError:
        return TokenRights()


def owners_of(context: CommandContext) -> tuple[str, ...]:
    """Return the token's account and its organisations; NotAllowed without a token."""
    account = context.account
    if account is None:
        raise NotAllowed("no token was found, so your repos are unknown.", hint=NO_TOKEN_HINT)
    return (account.name, *account.orgs)


def list_own_repos(context: CommandContext) -> list[Repo]:
    """Return the gated repos of the token's account and its organisations; NotAllowed without a token."""
    return list(dict.fromkeys(gate.repo for owner in owners_of(context) for gate in context.hub.gated_repos(owner)))


def check_decide_right(rights: TokenRights, repo: Repo) -> tuple[bool | None, str]:
    """Return whether the token can decide at a repo (None: unknown), and the reason."""
    may = rights.can_decide(repo)
    if rights.role in ("write", "read"):
        return may, f"its role is {rights.role}"
    if rights.role != "fineGrained":
        return None, f"its role is {rights.role or 'unknown'}"
    if may is None:
        return (
            None,
            (
                f"the Hub does not say whether the token has {DECIDE_PERMISSION} here ({UNCERTAIN_PERMISSION} was "
                "not tried)"
            ),
        )
    return may, f"the token {'has' if may else 'lacks'} {DECIDE_PERMISSION}"


def summarize_rights(rights: TokenRights, repos: Sequence[Repo]) -> str | None:
    """Describe the token's rights at these repos in a sentence; None if `rights_warnings` reports them."""
    may = [check_decide_right(rights, repo) for repo in repos]
    if not may or any(one is False for one, _ in may):
        return None
    unknown = next((why for one, why in may if one is None), None)
    if unknown is not None:
        return f"This token can list requests; whether it can decide is unknown: {unknown}."
    return f"This token can list requests. It should also be able to decide: {may[0][1]}."


def rights_warnings(rights: TokenRights, repos: Sequence[Repo], is_named: Callable[[Repo], bool]) -> Iterator[str]:
    """Return warnings about the token: where it cannot decide, and which other repos it reaches."""
    undecidable = [repo for repo in repos if rights.can_decide(repo) is False]
    if undecidable:
        why = check_decide_right(rights, undecidable[0])[1]
        yield f"this token can view but not decide requests at {_join_names(undecidable)}: {why}. {DECIDE_HINT}"
    if reach := describe_reach(rights, is_named):
        yield f"{reach} {ONE_TOKEN_PER_WORKSPACE}"


def describe_reach(rights: TokenRights, is_named: Callable[[Repo], bool]) -> str | None:
    """Return a sentence about the repos outside the workspace that the token reaches; None if there are none."""
    if rights.role == "write":
        return (
            "this token can write to all repos of its account and organisations, not only to those of this workspace."
        )
    places = rights.describe_excess_reach(is_named)
    return f"this token also reaches {_join_names(places)}, not only the repos of this workspace." if places else None


def _join_names(things: Sequence[object]) -> str:
    shown = ", ".join(map(str, things[:_MAX_NAMES]))
    return shown + (f" and {pluralize(len(things) - _MAX_NAMES, 'more', 'more')}" if len(things) > _MAX_NAMES else "")
