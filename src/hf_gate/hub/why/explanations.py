"""Explains a failure: first by what it says itself, then by what the Hub answers now."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from hf_gate.hub.protocol.access_refusals import RefusalCause, locate_words_in_log

from .diagnosing import Case, tell_cause
from .diagnosis import Diagnosis, DiagnosisCode, Seen
from .failures import Failure
from .observations import Observations
from .texts import TOKEN_TOO
from .token_search import TokenSearch

# Situations that words of the failure show, in lower case, where the Hub's words show none.
_WORDS: Final = (
    (("offlinemodeisenabled", "offline mode is enabled", "outgoing traffic has been disabled"), "program is offline"),
    (
        ("illegal header value", "invalid header value", "invalid character in header", "character(s) in header value"),
        "program's token is malformed",
    ),
    (("localtokennotfounderror", "but no token found", "error: not logged in"), "program found no token"),
    (
        (
            "password authentication in git is no longer supported",
            "batch response: authentication required",
            "could not read username for 'https://huggingface.co",
            "could not read username for 'https://hf.co",
            "git@hf.co: permission denied",
        ),
        "password",
    ),
    (("distant resource does not seem to be on",), "program reached another server"),
    (("signatureerror", "signaturedoesnotmatch", "invalid key pair id", "request has expired</message>"), "storage"),
    (("hfvalidationerror", "repo id must"), "program names no repo"),
    (
        (
            "tunnel connection failed",
            "proxy tunneling failed",
            "connect tunnel failed",
            "from proxy after connect",
            "proxyerror",
            "sslerror",
            "certificate_verify_failed",
            "ssl certificate problem",
            "x509: certificate",
        ),
        "program has no network",
    ),
)
# The same, for failures without a status.
_WORDS_WITHOUT_STATUS: Final = (
    (
        (
            "connecterror",
            "connecttimeout",
            "readtimeout",
            "read timed out",
            "connection timed out",
            "timed out after",
            "nameresolutionerror",
            "name resolution",
            "getaddrinfo",
            "could not resolve host",
            "name or service not known",
            "connection refused",
            "connection reset",
            "network is unreachable",
            "failed to establish a new connection",
            "econnrefused",
            "econnreset",
            "etimedout",
        ),
        "program has no network",
    ),
)
# The same, for words that other causes have too.
_HINTS: Final = (
    (
        (
            "secret value from your vault",
            "not authenticated with the hugging face hub",
            "hf_token is not set",
            "not logged in",
            "no user secrets exist",
            "provide your hf_token",
            "did not find huggingfacehub_api_token",
        ),
        "program found no token",
    ),
    (("agree to share your contact information", "accept the conditions to access"), "not asked"),
    (("cas service error", "cas client error"), "storage"),
    (("zscaler", "fortigu", "<!doctype html"), "program reached another server"),
    (("authorization failed", "unauthorized access to file"), "program is not known"),
    (
        (
            "gatedrepo",
            "gated repo",
            "gated dataset",
            "could not download",
            "private or gated",
            "requires approval",
            "forbidden access to",
        ),
        "program is refused",
    ),
)
_NO_REPO: Final = (
    "repositorynotfounderror",
    "datasetnotfounderror",
    "repository not found",
    "not a valid model identifier",
    "' not found.",
    "doesn't exist on the hub",
    "couldn't find a dataset",
    "invalid username or password",
)
# What the answers of now do not show, because it is over or is not about downloads.
_PAST: Final = frozenset(
    {
        DiagnosisCode.STORAGE,
        DiagnosisCode.NETWORK,
        DiagnosisCode.OFFLINE,
        DiagnosisCode.TOKEN_MALFORMED,
        DiagnosisCode.ENDPOINT_NOT_HUB,
        DiagnosisCode.HUB_UNAVAILABLE,
        DiagnosisCode.LIBRARY_SENT_NO_TOKEN,
        DiagnosisCode.TOKEN_NO_INFERENCE_PERMISSION,
    }
)
_OF_TOKEN: Final = frozenset(
    {
        DiagnosisCode.TOKEN_INVALID,
        DiagnosisCode.TOKEN_EXPIRED,
        DiagnosisCode.TOKEN_SHADOWED,
        DiagnosisCode.TOKEN_MALFORMED,
        DiagnosisCode.TOKEN_NO_GATED_PERMISSION,
        DiagnosisCode.TOKEN_ORG_POLICY,
        DiagnosisCode.ENDPOINT_DROPS_TOKEN,
    }
)
_UNSEEN: Final = frozenset(
    {
        DiagnosisCode.NO_TOKEN,
        DiagnosisCode.TOKEN_ELSEWHERE,
        DiagnosisCode.OFFLINE,
        DiagnosisCode.NETWORK,
        DiagnosisCode.ENDPOINT_NOT_HUB,
        DiagnosisCode.HUB_UNAVAILABLE,
    }
)
_STATES: Final = frozenset(
    {
        DiagnosisCode.NOT_ASKED,
        DiagnosisCode.PENDING,
        DiagnosisCode.REJECTED,
        DiagnosisCode.RESET,
        DiagnosisCode.TOKEN_NO_GATED_PERMISSION,
    }
)
_VAGUE: Final = frozenset({DiagnosisCode.REFUSED_UNKNOWN, DiagnosisCode.NOT_FOUND_OR_PRIVATE, DiagnosisCode.NO_TOKEN})


def diagnose_failure(failure: Failure, endpoint: str) -> Diagnosis:
    """Return what a failure says by itself, without a call. It names neither the account nor the token."""
    now = Case(TokenSearch(), Observations(endpoint, failure.repo, file=failure.file))
    rows = (tell_cause(now, failure.cause), _decide_words(failure, now), _decide_status(failure, now))
    found = next((row for row in rows if row is not None), now.tell("nothing to explain"))
    repo = str(failure.repo) if failure.repo is not None else None
    return replace(found, repo=repo, file=failure.file, evidence=[Seen("error", _describe_failure(failure))])


def combine(failure: Failure, own: Diagnosis, current: Diagnosis, endpoint: str) -> Diagnosis:
    """Return the explanation of a failure, from what it says itself and from what `why` finds now.

    What the Hub answers now decides, with three exceptions: the token of this process may be another one than that
    of the failed program, this process may see less, and a failure that is over has a cause that the answers no
    longer show.
    """
    found = current
    if (
        own.code in _OF_TOKEN
        and current.code not in _OF_TOKEN | _UNSEEN
        and failure.secret is None
        and (failure.repo is not None or not current)
    ):
        found = replace(own, certain=False)
    elif current:
        found = _explain_past(failure, own, current, endpoint)
    elif (current.code in _UNSEEN or not current.certain) and (
        failure.repo is None or (own.code not in {*_VAGUE, current.code}) or failure.status == 403
    ):
        found = own
    elif current.code in _STATES and own.code is DiagnosisCode.NO_TOKEN:
        found = replace(current, next=[*current.next, TOKEN_TOO])
    here = [Seen("from here", current.sentence)] if found.code is not current.code else []
    return replace(
        found,
        repo=current.repo,
        account=current.account,
        token=current.token,
        calls=current.calls,
        evidence=[*own.evidence, *here, *current.evidence],
    )


def _explain_past(failure: Failure, own: Diagnosis, current: Diagnosis, endpoint: str) -> Diagnosis:
    """Return why a request failed although the repo is open now."""
    now = Case(TokenSearch(), Observations(endpoint, failure.repo))
    if own.code in _PAST or (own.code is DiagnosisCode.NOT_FOUND_OR_PRIVATE and own.certain):
        return own
    if failure.repo is None:
        return replace(current, certain=own.certain)
    if failure.sent_token is False or own.code is DiagnosisCode.NO_TOKEN:
        return replace(now.tell("program sent none"), certain=failure.sent_token is False)
    if own.code in _VAGUE:
        return current
    return replace(now.tell("ok, refused before", who=current.account), certain=failure.secret is not None)


def _decide_words(failure: Failure, now: Case) -> Diagnosis | None:
    """Failures that need no answer of the Hub: settings, a token that cannot be sent, the storage, the network."""
    if failure.is_from_storage:
        return now.tell("storage")
    rows = _WORDS + (_WORDS_WITHOUT_STATUS if failure.status is None else ())
    return next((now.tell(situation) for words, situation in rows if failure.has_words(*words)), None)


def _decide_status(failure: Failure, now: Case) -> Diagnosis | None:
    """Failures that the status of an answer explains, or words that other causes have too."""
    if failure.cause is RefusalCause.NO_TOKEN and not failure.sent_token:
        return replace(now.tell("program has no token"), certain=failure.sent_token is False)
    is_told = locate_words_in_log(failure.words)[0] is RefusalCause.TOKEN_INVALID
    if is_told or (failure.status == 401 and failure.sent_token):
        return replace(now.tell("invalid", public=""), certain=is_told and not failure.is_log)
    if failure.code in ("EntryNotFound", "RevisionNotFound") or failure.has_words(
        "entry not found for url", "revision not found", "file not found in", "does not appear to have a file"
    ):
        return now.tell("program does not find the file")
    if failure.status == 404 or (failure.code != "GatedRepo" and failure.has_words(*_NO_REPO)):
        return now.tell("program does not find it", viewer="the program")
    if failure.status == 401:
        return now.tell("program is not known")
    if failure.status is not None and (failure.status == 429 or failure.status >= 500):
        found = now.tell("unavailable", detail=f"it answered {failure.status}", wait="a few minutes")
        return replace(found, certain=failure.host is not None)
    hints = (situation for words, situation in _HINTS if failure.has_words(*words))
    hint = next(hints, "program is refused" if failure.status == 403 else None)
    anonymous = "" if failure.status == 403 else "no token arrived, "  # the Hub answers 401 then
    return None if hint is None else replace(now.tell(hint, anonymous=anonymous), certain=False)


def _describe_failure(failure: Failure) -> str:
    parts = (
        failure.status,
        failure.code,
        f'"{failure.words[:200]}"' if failure.status is not None and not failure.is_log else None,
        f"from {failure.host}" if failure.host is not None else None,
        {True: "with a token", False: "without a token", None: None}[failure.sent_token],
    )
    return " ".join(str(part) for part in parts if part) or " ".join(failure.words.split())[-200:]
