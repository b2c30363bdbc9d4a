"""Explains refused reads of a repo by status, X-Error-Code and the Hub's words: the one table of these texts.

The Hub gives four states of a request one code, and other refusals none, so here its English words decide. Each text
has its source. The local Hub builds its answers from this table.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import Final

from msgspec import Struct

from hf_gate.errors import TOKEN_HELP

from .messages import Reply
from .replies import MAX_SERVER_MESSAGE, server_message

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
    TOKEN_NO_INFERENCE_PERMISSION = "token_no_inference_permission"  # noqa: S105
    TOKEN_ORG_POLICY = "token_org_policy"  # noqa: S105
    REGION = "region"
    DISABLED = "disabled"
    NOT_FOUND_OR_PRIVATE = "not_found_or_private"


class AccessRefusal(Struct, frozen=True):
    """One text of the Hub, with the status and code of its answers (None: without a code), its source and its date.

    Placeholders: {what} is `model acme/m`, {page} the address of the repo, {type} model or dataset, {token} the name
    of a token, and {user} a username. The cause is None where the words do not tell it.
    """

    cause: RefusalCause | None
    status: int
    code: str | None
    text: str
    source: str
    date: str


RECORDED: Final = "recorded exchange"
REPORTS: Final = "public reports"
CLIENT: Final = "huggingface_hub 2.4.0 source"
DOCS: Final = "Hub docs"

# The first text of a cause is the one that the local Hub sends.
REFUSALS: Final = (
    AccessRefusal(
        RefusalCause.NO_TOKEN,
        401,
        "GatedRepo",
        "Access to {what} is restricted. You must have access to it and be authenticated to access it. Please log in.",
        RECORDED,
        "2026-10",
    ),
    AccessRefusal(
        RefusalCause.NO_TOKEN,
        401,
        "GatedRepo",
        "Access to {what} is restricted. You must be authenticated to access it.",
        REPORTS,
        "2024",
    ),
    AccessRefusal(
        RefusalCause.NO_TOKEN,
        401,
        "GatedRepo",
        "Repo {what} is gated. You must be authenticated to access it.",
        REPORTS,
        "2024",
    ),
    AccessRefusal(
        RefusalCause.NOT_ASKED,
        403,
        "GatedRepo",
        "Access to {what} is restricted and you are not in the authorized list. Visit {page} to ask for access.",
        RECORDED,
        "2026-10",
    ),
    AccessRefusal(
        RefusalCause.PENDING,
        403,
        "GatedRepo",
        "Your request to access {what} is awaiting a review from the repo authors.",
        RECORDED,
        "2026-10",
    ),
    AccessRefusal(
        RefusalCause.REJECTED,
        403,
        "GatedRepo",
        "Your request to access {what} has been rejected by the repo's authors.",
        RECORDED,
        "2026-10",
    ),
    AccessRefusal(
        RefusalCause.RESET,
        403,
        "GatedRepo",
        "Your request to access {what} has been reset by the repo's authors. Visit {page} to submit a new request.",
        RECORDED,
        "2026-10",
    ),
    AccessRefusal(
        RefusalCause.TOKEN_NO_GATED_PERMISSION,
        403,
        None,
        (
            "Please enable access to public gated repositories in your fine-grained token settings to view this "
            "repository."
        ),
        REPORTS,
        "2024-2026",
    ),
    AccessRefusal(
        RefusalCause.TOKEN_NO_INFERENCE_PERMISSION,
        403,
        None,
        (
            "This authentication method does not have sufficient permissions to call Inference Providers on "
            "behalf of user {user}"
        ),
        REPORTS,
        "2025-2026",
    ),
    AccessRefusal(
        RefusalCause.TOKEN_ORG_POLICY,
        403,
        None,
        (
            "Due to the organization token policy, your token needs to be approved by the organization before "
            "you can access this resource."
        ),
        DOCS,
        "2026",
    ),
    AccessRefusal(
        RefusalCause.TOKEN_ORG_POLICY,
        403,
        None,
        (
            "Your token has been revoked by the organization administrator, you can no longer access "
            "organization resources. Please contact them for more information."
        ),
        DOCS,
        "2026",
    ),
    AccessRefusal(RefusalCause.REGION, 403, None, "This {type} is not available in your region.", REPORTS, "2026"),
    AccessRefusal(RefusalCause.DISABLED, 403, None, "Access to this resource is disabled.", CLIENT, "2026"),
    AccessRefusal(None, 403, None, "Authorization error.", REPORTS, "2024"),
    AccessRefusal(RefusalCause.TOKEN_INVALID, 401, None, "Invalid username or password.", RECORDED, "2026-10"),
    AccessRefusal(
        RefusalCause.TOKEN_INVALID, 401, None, "Invalid credentials in Authorization header", REPORTS, "2025"
    ),
    AccessRefusal(
        RefusalCause.TOKEN_EXPIRED, 401, None, 'User Access Token "{token}" is expired', REPORTS, "2024-2026"
    ),
    AccessRefusal(RefusalCause.NOT_FOUND_OR_PRIVATE, 404, "RepoNotFound", "Repository not found", RECORDED, "2026-10"),
)

# Names of repos and people have no white space. The name of a token is free text.
_PLACEHOLDERS: Final = {
    "what": r"(?:this\s+repo|(?:model|dataset|space)\s+\S+)",
    "type": "(?:model|dataset|space)",
    "page": r"\S+",
    "user": r"\S+",
    "token": ".*",
}


# Words that tell a cause in a pasted log or on a page, where status, code and the start of the text are missing.
WORDS_IN_LOGS: Final[dict[RefusalCause, tuple[str, ...]]] = {
    RefusalCause.NO_TOKEN: ("be authenticated to access it",),
    RefusalCause.NOT_ASKED: ("not in the authorized list",),
    RefusalCause.PENDING: ("awaiting a review", "awaiting review", "pending a review", "pending review"),
    RefusalCause.REJECTED: ("has been rejected", "was rejected by the repo"),
    RefusalCause.RESET: ("has been reset by the repo",),
    RefusalCause.TOKEN_NO_GATED_PERMISSION: ("access to public gated repositories", "canreadgatedrepos: false"),
    RefusalCause.TOKEN_NO_INFERENCE_PERMISSION: ("sufficient permissions to call inference providers",),
    RefusalCause.TOKEN_ORG_POLICY: ("organization token policy", "revoked by the organization"),
    RefusalCause.REGION: ("not available in your region",),
    RefusalCause.DISABLED: ("access to this resource is disabled",),
    RefusalCause.TOKEN_INVALID: (
        "invalid credentials in authorization header",
        "invalid user token",
        "invalid token passed",
        "the token seems invalid",
    ),
    RefusalCause.TOKEN_EXPIRED: ('" is expired',),
}


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
    RefusalCause.TOKEN_NO_INFERENCE_PERMISSION: RefusalAdvice(
        "the token may not call Inference Providers",
        f"Allow calls to Inference Providers for it at {FINE_GRAINED_PAGE}. {TOKEN_HELP}",
    ),
    RefusalCause.TOKEN_ORG_POLICY: RefusalAdvice(
        "an organisation does not allow this token", "Ask an administrator of the organisation to approve the token."
    ),
    RefusalCause.REGION: RefusalAdvice(
        "the files are not available in this network's region", "Contact the owner of the repo."
    ),
    RefusalCause.DISABLED: RefusalAdvice("the Hub has disabled this repo", "Contact the owner of the repo."),
}


def get_refusals(cause: RefusalCause) -> list[AccessRefusal]:
    """Return the texts of a cause; the first one is what the local Hub sends."""
    return [refusal for refusal in REFUSALS if refusal.cause is cause]


def find_refusal(status: int, code: str | None, text: str) -> AccessRefusal | None:
    """Return the line of the table for an answer; None if the Hub's words are new.

    The first sentence decides, from its start, so that a name in it that repeats words of another text decides
    nothing. At 401 and 404, the code decides if the words are new.
    """
    refusals = [refusal for refusal in REFUSALS if (refusal.status, refusal.code) == (status, code or None)]
    text = text[:MAX_SERVER_MESSAGE]
    default = refusals[0] if refusals and status != 403 else None
    return next((refusal for refusal in refusals if _compile(refusal.text).match(text)), default)


def find_refusal_cause(answer: Reply) -> RefusalCause | None:
    """Return why the Hub refused a read; None if its words do not tell."""
    refusal = find_refusal(answer.status, answer.headers.get("x-error-code"), server_message(answer))
    return None if refusal is None else refusal.cause


def locate_words_in_log(text: str) -> tuple[RefusalCause | None, int]:
    """Return the cause that the last words of the Hub in a log tell, and their place; None and -1 without such words.

    Every space of the text must be a single one.
    """
    text = text.lower()
    places = {cause: max(map(text.rfind, words)) for cause, words in WORDS_IN_LOGS.items()}
    cause = max(places, key=lambda cause: places[cause])
    return (cause, places[cause]) if places[cause] >= 0 else (None, -1)


@cache
def _compile(text: str) -> re.Pattern[str]:
    """Return the pattern of a text's first sentence. A text without a full stop has nothing after it."""
    sentence = text.partition(". ")[0]
    parts = re.split(r"\{(\w+)\}", sentence.removesuffix("."))
    fixed = [re.escape(part).replace("\\ ", r"\s+") for part in parts]
    fixed[1::2] = [_PLACEHOLDERS[name] for name in parts[1::2]]
    end = r"(?:\.|\Z)" if text.endswith(".") else r"\.*\s*\Z"
    return re.compile(r"\s*" + "".join(fixed) + end, re.IGNORECASE | re.DOTALL)


def is_answer_of_hub(answer: Reply) -> bool:
    """Return whether an answer has one of the headers that the Hub sends and a network's sign-in page does not."""
    return any(name in answer.headers for name in ("x-request-id", "x-repo-commit", "x-error-code"))
