"""Explains a failure: first by what it says itself, then by what the Hub answers now."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ...protocol.access_refusals import RefusalCause, find_cause_in_log
from .decision import Situation, tell_cause
from .diagnosis import Diagnosis, DiagnosisCode, Seen
from .failures import Failure
from .observations import Observations
from .token_search import TokenSearch

# Situations that need no answer of the Hub, by words of the failure in lower case.
_WORDS: Final = (
    (("offlinemodeisenabled", "offline mode is enabled", "outgoing traffic has been disabled"), "program is offline"),
    (("illegal header value", "invalid header value", "invalid character in header"), "program's token is malformed"),
    (("password authentication in git is no longer supported", "username/password authentication failed"), "password"),
    (("tunnel connection failed", "certificate_verify_failed", "proxyerror", "sslerror"), "program has no network"),
)
_NETWORK_WORDS: Final = (
    "connecterror",
    "connecttimeout",
    "nameresolutionerror",
    "name or service not known",
    "connection refused",
)
_PAST: Final = frozenset(
    {DiagnosisCode.STORAGE, DiagnosisCode.NETWORK, DiagnosisCode.OFFLINE, DiagnosisCode.TOKEN_MALFORMED}
)
_UNSEEN: Final = frozenset(
    {DiagnosisCode.NO_TOKEN, DiagnosisCode.TOKEN_ELSEWHERE, DiagnosisCode.OFFLINE, DiagnosisCode.NETWORK,
     DiagnosisCode.ENDPOINT_NOT_HUB, DiagnosisCode.HUB_UNAVAILABLE}
)  # fmt: skip
_VAGUE: Final = frozenset({DiagnosisCode.REFUSED_UNKNOWN, DiagnosisCode.NOT_FOUND_OR_PRIVATE, DiagnosisCode.NO_TOKEN})


def decide_failure(failure: Failure, endpoint: str) -> Diagnosis:
    """Return what a failure says by itself, without a call. It names neither the account nor the token."""
    now = Situation(TokenSearch(), Observations(endpoint, failure.repo, file=failure.file))
    rows = (_decide_words(failure, now), tell_cause(now, failure.cause), _decide_status(failure, now))
    found = next((row for row in rows if row is not None), None)
    found = now.tell("nothing to explain") if found is None else found
    repo = str(failure.repo) if failure.repo is not None else None
    return replace(found, repo=repo, file=failure.file, evidence=[Seen("error", _describe_failure(failure))])


def combine(failure: Failure, own: Diagnosis, current: Diagnosis, endpoint: str) -> Diagnosis:
    """Return the explanation of a failure, from what it says itself and from what `why` finds now.

    What the Hub answers now decides, with two exceptions: this process may see less than the failed program, and a
    failure that is over was caused by something that the answers no longer show.
    """
    found = current
    if current:
        found = _explain_past(failure, own, current, endpoint)
    elif (current.code in _UNSEEN or not current.certain) and own.code not in _VAGUE:
        found = own
    fields = {"account": current.account, "token": current.token, "calls": current.calls, "repo": current.repo}
    return replace(found, evidence=[*own.evidence, *current.evidence], **fields)


def _explain_past(failure: Failure, own: Diagnosis, current: Diagnosis, endpoint: str) -> Diagnosis:
    """Return why a request failed although the repo is open now."""
    now = Situation(TokenSearch(), Observations(endpoint, failure.repo))
    if own.code in _PAST:
        return own
    if failure.sent_token is False or own.code is DiagnosisCode.NO_TOKEN:
        return replace(now.tell("program sent none"), certain=failure.sent_token is False)
    if own.code in _VAGUE:
        return current
    return now.tell("ok, refused before", who=current.account)


def _decide_words(failure: Failure, now: Situation) -> Diagnosis | None:
    """Failures that need no answer of the Hub: settings, a token that cannot be sent, the storage, the network."""
    if failure.is_from_storage:
        return now.tell("storage")
    for words, situation in _WORDS:
        if failure.has_words(*words):
            return now.tell(situation)
    if failure.status is None and failure.has_words(*_NETWORK_WORDS):
        return now.tell("program has no network")
    return None


def _decide_status(failure: Failure, now: Situation) -> Diagnosis | None:
    """Failures that the status of an answer explains."""
    if failure.cause is RefusalCause.NO_TOKEN and not failure.sent_token:
        return replace(now.tell("program has no token"), certain=failure.sent_token is False)
    if failure.status == 401 and (failure.sent_token or find_cause_in_log(failure.words) is RefusalCause.TOKEN_INVALID):
        return replace(now.tell("invalid", public=""), certain=failure.cause is RefusalCause.TOKEN_INVALID)
    if failure.code == "EntryNotFound" or failure.has_words("entrynotfounderror"):
        return now.tell("no such file")
    if failure.status in (401, 404) or failure.has_words("repositorynotfounderror", "datasetnotfounderror"):
        return now.tell("program does not find it", viewer="the program")
    if failure.status is not None and (failure.status == 429 or failure.status >= 500):
        return now.tell("unavailable", detail=f"it answered {failure.status}", wait="a few minutes")
    return None


def _describe_failure(failure: Failure) -> str:
    sent = {True: "with a token", False: "without a token", None: ""}[failure.sent_token]
    host = f"from {failure.host}" if failure.host else ""
    told = " ".join(part for part in (str(failure.status or ""), failure.code, host, sent) if part)
    return told or " ".join(failure.words.split())[:200]
