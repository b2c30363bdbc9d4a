"""Explains refused reads of a repo by status, X-Error-Code and the Hub's words: the one table of these texts.

The Hub gives four states of a request one code, and other refusals none, so here its English words decide. The texts are
from recorded exchanges (October 2026), from its documentation, and from public reports (2024 to 2026).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from ..errors import TOKEN_HELP
from .messages import Reply
from .replies import server_message

FINE_GRAINED_PAGE: Final = "huggingface.co/settings/tokens"


class RefusalCause(StrEnum):
    """Why the Hub refuses a read."""

    NO_TOKEN = "no_token"  # noqa: S105 - a word of the contract
    NOT_ASKED = "not_asked"
    PENDING = "pending"
    REJECTED = "rejected"
    RESET = "reset"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_INVALID = "token_invalid"  # noqa: S105
    TOKEN_NO_GATED_PERMISSION = "token_no_gated_permission"  # noqa: S105
    TOKEN_ORG_POLICY = "token_org_policy"  # noqa: S105
    REGION = "region"
    DISABLED = "disabled"


class _RefusalRule(Struct, frozen=True):
    """The cause of answers with a status, a code (None: without one) and words."""

    status: int
    code: str | None
    words: str
    cause: RefusalCause


# The first match decides. Words are compared without regard to case.
_RULES: Final = (
    _RefusalRule(401, "GatedRepo", "", RefusalCause.NO_TOKEN),
    _RefusalRule(401, None, "is expired", RefusalCause.TOKEN_EXPIRED),
    _RefusalRule(401, None, "", RefusalCause.TOKEN_INVALID),
    _RefusalRule(403, "GatedRepo", "awaiting a review", RefusalCause.PENDING),
    _RefusalRule(403, "GatedRepo", "has been rejected", RefusalCause.REJECTED),
    _RefusalRule(403, "GatedRepo", "has been reset", RefusalCause.RESET),
    _RefusalRule(403, "GatedRepo", "not in the authorized list", RefusalCause.NOT_ASKED),
    _RefusalRule(403, None, "enable access to public gated repositories", RefusalCause.TOKEN_NO_GATED_PERMISSION),
    _RefusalRule(403, None, "organization token policy", RefusalCause.TOKEN_ORG_POLICY),
    _RefusalRule(403, None, "revoked by the organization", RefusalCause.TOKEN_ORG_POLICY),
    _RefusalRule(403, None, "not available in your region", RefusalCause.REGION),
    _RefusalRule(403, None, "access to this resource is disabled", RefusalCause.DISABLED),
)


class RefusalAdvice(Struct, frozen=True):
    """What a cause means, after the name of the repo, and the next step."""

    sentence: str
    hint: str


ADVICE: Final[dict[RefusalCause, RefusalAdvice]] = {
    RefusalCause.TOKEN_EXPIRED: RefusalAdvice("the token has expired", f"Create a new token. {TOKEN_HELP}"),
    RefusalCause.TOKEN_INVALID: RefusalAdvice(
        "the Hub does not accept the token: it was revoked or mistyped",
        f"Log in again or copy the token again. {TOKEN_HELP}",
    ),
    RefusalCause.TOKEN_NO_GATED_PERMISSION: RefusalAdvice(
        "the token is fine-grained and may not read gated repos",
        f"Enable access to public gated repos for it at {FINE_GRAINED_PAGE}. {TOKEN_HELP}",
    ),
    RefusalCause.TOKEN_ORG_POLICY: RefusalAdvice(
        "an organization does not allow this token", "Ask an administrator of the organization to approve the token."
    ),
    RefusalCause.REGION: RefusalAdvice(
        "the files are not available in this network's region", "Contact the owner of the repo."
    ),
    RefusalCause.DISABLED: RefusalAdvice("the Hub has closed this repo", "Contact the owner of the repo."),
}


def find_refusal_cause(answer: Reply) -> RefusalCause | None:
    """Return why the Hub refused a read; None if no rule matches."""
    code, text = answer.headers.get("x-error-code"), server_message(answer).casefold()
    matching = (rule for rule in _RULES if (rule.status, rule.code) == (answer.status, code) and rule.words in text)
    return next((rule.cause for rule in matching), None)


def is_answer_of_hub(answer: Reply) -> bool:
    """Return whether an answer has one of the headers that the Hub sends and a network's sign-in page does not."""
    return any(name in answer.headers for name in ("x-request-id", "x-repo-commit", "x-error-code"))
