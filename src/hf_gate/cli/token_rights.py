"""What the token may do, in words: the topic `help token`, and the lines of `doctor` and `init`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from ..domain.accounts import DECIDE_PERMISSION, UNCERTAIN_PERMISSION, TokenRights
from ..errors import ACCESS_HELP, NO_TOKEN_HINT, HfGateError, NotAllowed
from .output import count_of

if TYPE_CHECKING:
    from ..domain.ids import Repo
    from .framework import Run

_SHOWN: Final = 3  # places that are named in a warning
NEEDED: Final = (
    f"To decide: the write role, or a fine-grained token with write access ({DECIDE_PERMISSION}) to it. {ACCESS_HELP}"
)
ONE_EACH: Final = f"A fine-grained token for these repos alone can do less harm. {ACCESS_HELP}"

TOPIC: Final = """\
Two fine-grained tokens of your account, made at https://huggingface.co/settings/tokens, for the named repos only:

  to look     repo.content.read   Read access to contents of selected repos
              repo.access.read    View access requests for all selected gated repos
  to decide   the two above, and
              repo.write          Write access to contents and settings of selected repos

repo.write also allows pushing files: use one such token for each workspace, and none of them elsewhere.
Your account needs the write role at the repo (owner, or write or admin in the organisation). An organisation may have to
approve a fine-grained token before it counts there.

A classic token with the write role decides too, at every repo of the account. A classic read token cannot even look.

  hf auth login               keep a token for `hf` and hf-gate
  HF_TOKEN=...                a token for one shell
  hf-gate --token-file FILE   a token for one call
  hf-gate doctor              what the token may do, and where

Rotate or revoke a token on the same page: a new value counts at once, and what was decided stays. docs/token.md says more.
"""


def read_rights(run: Run) -> TokenRights:
    """What the Hub says now that the token may do: its permissions can be edited, so nothing is remembered."""
    try:
        return run.hub.whoami().rights
    except HfGateError:
        return TokenRights()


def owners_of(run: Run) -> tuple[str, ...]:
    """Return the token's account and its organisations; NotAllowed without a token."""
    account = run.account
    if account is None:
        raise NotAllowed("no token was found, so your repos are not known.", hint=NO_TOKEN_HINT)
    return (account.name, *account.orgs)


def check_decide_right(rights: TokenRights, repo: Repo) -> tuple[bool | None, str]:
    """Whether the token may decide at a repo, and by what, or why not; None when the Hub does not tell."""
    may = rights.can_decide(repo)
    if rights.role in ("write", "read"):
        return may, "its write role" if may else "its role is read"
    if rights.role != "fineGrained":
        return None, f"its role is {rights.role or 'not told'}"
    if may is None:
        return (
            None,
            f"it is fine-grained, and whether it has {DECIDE_PERMISSION} here is not told ({UNCERTAIN_PERMISSION} is untried)",
        )
    return may, f"its permission {DECIDE_PERMISSION}" if may else f"it lacks {DECIDE_PERMISSION}"


def summarize_rights(rights: TokenRights, repos: Sequence[Repo]) -> str | None:
    """What the token may do at the repos whose requests it may read; None where `warnings` say it."""
    may = [check_decide_right(rights, repo) for repo in repos]
    if not may or any(one is False for one, _ in may):
        return None
    unknown = next((why for one, why in may if one is None), None)
    if unknown is not None:
        return f"This token can look; whether it can decide is not known: {unknown}."
    return f"This token can look and, by {may[0][1]}, decide (not tried)."


def rights_warnings(rights: TokenRights, repos: Sequence[Repo], is_named: Callable[[Repo], bool]) -> Iterator[str]:
    """What to know before work is put into a workspace: where the token cannot decide, and where else it reaches."""
    barred = [repo for repo in repos if rights.can_decide(repo) is False]
    if barred:
        why = check_decide_right(rights, barred[0])[1]
        yield f"this token can look and not decide at {_join_names(barred)}: {why}. {NEEDED}"
    if said := describe_reach(rights, is_named):
        yield f"{said} {ONE_EACH}"


def describe_reach(rights: TokenRights, is_named: Callable[[Repo], bool]) -> str | None:
    """Where the token reaches beside the repos of the workspace, in a sentence."""
    places = rights.describe_excess_reach(is_named)
    return f"this token also reaches {_join_names(places)}, which this workspace does not name." if places else None


def _join_names(things: Sequence[object]) -> str:
    shown = ", ".join(map(str, things[:_SHOWN]))
    return shown + (f" and {count_of(len(things) - _SHOWN, 'more', 'more')}" if len(things) > _SHOWN else "")
