"""The decision table: what was observed, in a fixed order, gives one situation. The first row that matches decides.

The order is part of the meaning. A token that the Hub does not accept comes before everything that this token cannot
see, a missing repo before its gate, and the state of a request before the files. The Hub's words decide only through
the table of `hub.protocol.access_refusals`; other words are shown, and decide nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from hf_gate.base.display_text import join_words
from hf_gate.base.ids import Repo, RepoType
from hf_gate.base.network_hosts import PUBLIC_HUB
from hf_gate.hub.credentials import is_loopback
from hf_gate.hub.protocol.access_refusals import RefusalCause, find_refusal_cause
from hf_gate.hub.protocol.messages import Answer, FailureReason, NoReply, Reply
from hf_gate.hub.protocol.ratelimit_headers import parse_retry_after
from hf_gate.hub.protocol.replies import is_ok, is_transient, server_message

from .diagnosis import Diagnosis, DiagnosisCode, Seen, Step, TokenSeen
from .observations import Observations, is_access_confirmed, is_file_answer, is_reached
from .texts import GATED_PERMISSION_TOO, LOGIN_STEPS, build_diagnosis
from .token_search import TokenSearch

# The causes that the Hub's words show for themselves.
_SITUATIONS: Final = {
    RefusalCause.NOT_ASKED: "not asked",
    RefusalCause.PENDING: "pending",
    RefusalCause.REJECTED: "rejected",
    RefusalCause.RESET: "reset",
    RefusalCause.TOKEN_NO_GATED_PERMISSION: "no gated permission",
    RefusalCause.TOKEN_NO_INFERENCE_PERMISSION: "inference",
    RefusalCause.TOKEN_ORG_POLICY: "organisation",
    RefusalCause.REGION: "region",
    RefusalCause.DISABLED: "disabled",
    RefusalCause.TOKEN_EXPIRED: "expired",
}
_ANONYMOUS: Final = (RefusalCause.NO_TOKEN, RefusalCause.TOKEN_INVALID)
_GATES: Final = {"False": "not gated", "manual": "gated, decided by hand", "auto": "gated, accepted at once"}


class Case(Struct, frozen=True):
    """The tokens of this process, the Hub's answers, and the words for both."""

    search: TokenSearch
    seen: Observations

    @property
    def source(self) -> str:
        """Where the token in use comes from; empty without one."""
        return self.search.active.source if self.search.active is not None else ""

    def describe_token(self) -> TokenSeen | None:
        """Return what is known of the token in use; None without one."""
        used = self.search.active
        account = self.seen.account
        if used is None:
            return None
        name = self.search.active_login.name if self.search.active_login is not None else None
        if account is None:
            return TokenSeen(used.source, name)
        shown = _read_path(account.raw, "auth", "accessToken", "displayName")
        return TokenSeen(
            used.source,
            name or (shown if isinstance(shown, str) else None),
            account.token_role,
            _read_right(account.raw),
        )

    def tell(self, situation: str, **words: Any) -> Diagnosis:
        """Return the diagnosis of a situation."""
        seen = self.seen
        token = self.describe_token()
        repo = seen.repo
        lacks_right = token is not None and token.gated is False
        named = (
            " ".join(part for part in (token.name, f"from {token.source}") if part)
            if token is not None
            else "of the program"
        )
        known = {
            "who": seen.account.name
            if seen.account is not None
            else "the account of this token"
            if token
            else "the program's account",
            "repo": str(repo or "the repo"),
            "word": str(repo or "REPO"),
            "what": seen.file or str(repo),
            "file": seen.file,
            "revision": seen.revision,
            "type": repo.type if repo is not None else "",
            "org": repo.namespace if repo is not None else "the organisation",
            "org_page": f"{PUBLIC_HUB}/{repo.namespace}" if repo is not None else "",
            "page": f"{seen.endpoint}/{repo.web_path}" if repo is not None else "",
            "host": seen.host,
            "endpoint": seen.endpoint,
            "source": self.source,
            "login": f"unset {self.source} && hf auth login" if self.source.isidentifier() else "hf auth login",
            "named": named,
            "rights": " It may not read gated repos." if lacks_right else "",
            "at_once": " Everybody who asks gets access at once."
            if seen.summary is not None and seen.summary.gated == "auto"
            else "",
        }
        diagnosis = build_diagnosis(situation, known | words)
        is_next = diagnosis.code in (DiagnosisCode.NOT_ASKED, DiagnosisCode.PENDING) or situation == "token works"
        if is_next and lacks_right:
            return replace(diagnosis, next=[*diagnosis.next, GATED_PERMISSION_TOO])
        return diagnosis


def _read_right(whoami: object) -> bool | None:
    """Return whether a token may read gated repos, by its role and its own permission; None if this is not known."""
    if _read_path(whoami, "auth", "accessToken", "role") in ("read", "write"):
        return True
    right = _read_path(whoami, "auth", "accessToken", "fineGrained", "canReadGatedRepos")
    return right if isinstance(right, bool) else None


def _read_path(value: object, *keys: str) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


# ---- the table -------------------------------------------------------------------------------------------------------


def diagnose(search: TokenSearch, seen: Observations) -> Diagnosis:
    """Return the diagnosis for what was observed."""
    now = Case(search, seen)
    rows = (
        _decide_reached,
        _decide_refused_token,
        _decide_missing,
        _decide_cause,
        _decide_anonymous,
        _decide_open,
        _tell_unknown,
    )
    found = next(diagnosis for row in rows if (diagnosis := row(now)) is not None)
    if seen.opening_tokens:
        name = seen.opening_tokens[0]
        switch = Step(
            f"Use the saved token {name}, which has access", f"hf auth switch --token-name {shlex.quote(name)}"
        )
        found = replace(found, next=[switch, *found.next])
    return replace(
        found,
        repo=str(seen.repo) if seen.repo is not None else None,
        file=seen.file,
        account=seen.account.name if seen.account is not None else None,
        token=now.describe_token(),
        evidence=list(_list_evidence(now)),
        calls=seen.calls,
    )


def _decide_reached(now: Case) -> Diagnosis | None:
    """No network, a page that is not the Hub's, a Hub that cannot answer now."""
    seen = now.seen
    for answer in (seen.whoami, seen.info, seen.auth_check, seen.head):
        if answer is None:
            continue
        if isinstance(answer, NoReply) and answer.reason is FailureReason.CONNECT:
            return now.tell(
                "network" if seen.endpoint == PUBLIC_HUB else "network, at another endpoint", detail=answer.detail
            )
        if isinstance(answer, NoReply):
            return now.tell("unavailable", detail=answer.detail, wait="a few minutes")
        if is_transient(answer):
            wait = parse_retry_after(answer.headers, answer.received_at)
            return now.tell(
                "unavailable", detail=f"it answered {answer.status}", wait=f"{wait:.0f} s" if wait else "a few minutes"
            )
        is_page = "html" in answer.headers.get("content-type", "") and not (
            answer is seen.head and is_file_answer(answer)
        )
        is_other = answer is seen.auth_check and is_ok(answer) and not is_access_confirmed(answer)
        is_readable = is_reached(answer) or seen.account is not None or answer in (seen.auth_check, seen.head)
        if is_page or is_other or not is_readable:
            return now.tell("foreign", status=answer.status)
    return None


def _decide_refused_token(now: Case) -> Diagnosis | None:
    """The Hub does not accept the token that is sent."""
    seen = now.seen
    if not isinstance(seen.whoami, Reply) or seen.whoami.status != 401:
        return None
    if find_refusal_cause(seen.whoami) is RefusalCause.TOKEN_EXPIRED:
        return now.tell("expired")
    login = now.search.active_login
    if login is not None and login.expires_at is not None and login.expires_at < seen.whoami.received_at:
        return now.tell("expired login")
    if seen.accepted_source is not None:
        owner = f" of {seen.accepted_account}" if seen.accepted_account else ""
        unset = f"unset {now.source}" if now.source.isidentifier() else ""
        return now.tell("shadowed", owner=owner, other=seen.accepted_source, unset=unset)
    if not seen.is_public_hub and not is_loopback(seen.endpoint):
        return now.tell("dropped")
    return now.tell(
        "invalid", public=" Without a token this repo is open to everybody." if seen.is_public_without_token else ""
    )


def _decide_missing(now: Case) -> Diagnosis | None:
    """A repo of the other type, or none that this account sees."""
    answer = now.seen.info
    other = now.seen.other_type
    if (
        not isinstance(answer, Reply)
        or answer.status not in (401, 404)
        or find_refusal_cause(answer) is RefusalCause.NO_TOKEN
    ):
        return None
    if other is not None:
        return now.tell(
            "wrong type", other=other.type, word=str(other) if other.type is RepoType.DATASET else f"model:{other.id}"
        )
    if now.search.active is None:
        return now.tell("not found without a token", viewer="anybody without a token")
    return now.tell("not found", viewer=now.seen.account.name if now.seen.account is not None else "this account")


def find_cause(seen: Observations) -> RefusalCause | None:
    """Return the cause of the first refusal that has a known one."""
    causes = (
        find_refusal_cause(answer)
        for answer in (seen.info, seen.auth_check, seen.head)
        if isinstance(answer, Reply) and answer.status in (401, 403)
    )
    return next((cause for cause in causes if cause is not None), None)


def _decide_cause(now: Case) -> Diagnosis | None:
    """The Hub closed the repo, or its words show the cause."""
    if now.seen.summary is not None and now.seen.summary.is_disabled:
        return now.tell("disabled")
    return tell_cause(now, find_cause(now.seen))


def tell_cause(now: Case, cause: RefusalCause | None) -> Diagnosis | None:
    """Return the diagnosis of a cause that the Hub's words show; None for another one."""
    return now.tell(_SITUATIONS[cause]) if cause in _SITUATIONS else None


def _decide_anonymous(now: Case) -> Diagnosis | None:
    """The repo is gated, and no token arrives."""
    if now.seen.repo is not None and find_cause(now.seen) not in _ANONYMOUS:
        return None
    if now.search.active is None:
        return tell_no_token(now)
    return now.tell("dropped") if now.seen.repo is not None else None


def tell_no_token(now: Case) -> Diagnosis:
    """Return the diagnosis of a process that sends no token: it has none, or something keeps it back."""
    search = now.search
    if search.kept_back_by is not None and search.candidates:
        unset = f"unset {search.kept_back_by}" if search.kept_back_by.isidentifier() else ""
        return now.tell("kept back", other=search.candidates[0].source, setting=search.kept_back_by, unset=unset)
    if search.has_exchange:
        return now.tell("exchange")
    if search.look_alikes:
        return now.tell("look-alike", variable=search.look_alikes[0])
    if search.unread_file is not None:
        return now.tell(
            "env file" if search.unread_file == ".env" else "other folder",
            file=search.unread_file,
            quoted=shlex.quote(search.unread_file),
            looked=join_words(search.looked_at, "and"),
        )
    place = next((name for name in search.surroundings if name in LOGIN_STEPS), None)
    about = f" It runs in {place}, which does not see the login of another machine or account." if place else ""
    situation = "no token" if now.seen.repo is not None else "no token at all"
    found = now.tell(situation, looked=join_words(search.looked_at, "and"), place=about)
    return replace(found, next=[LOGIN_STEPS[place], *found.next[1:]]) if place else found


def _decide_open(now: Case) -> Diagnosis | None:
    """The token or the repo works, or the repo needs another one that does not."""
    seen = now.seen
    if seen.repo is None:
        return now.tell("token works") if seen.account is not None else None
    is_missing = isinstance(seen.head, Reply) and seen.head.status == 404
    if not is_access_confirmed(seen.auth_check) or not (is_file_answer(seen.head) or is_missing):
        return None
    if isinstance(seen.head, Reply) and seen.head.headers.get("x-error-code") == "RevisionNotFound":
        return now.tell("no such revision")
    if is_missing and seen.file is not None:
        return now.tell("no such file")
    refused = [found for other, answer in seen.related if (found := _decide_related(now, other, answer)) is not None]
    if refused:
        found = now.tell("other repo", other=refused[0].repo, detail=refused[0].sentence)
        return replace(found, next=refused[0].next, also=refused)
    return now.tell("ok" if now.search.active is not None else "ok without a token")


def _decide_related(now: Case, other: Repo, answer: Answer) -> Diagnosis | None:
    """Return the diagnosis of a repo that this one loads; None if it is open, or if its answer says nothing about
    access.
    """
    there = Case(now.search, Observations(now.seen.endpoint, other, account=now.seen.account, auth_check=answer))
    cause = find_cause(there.seen)
    found = tell_cause(there, cause)
    if found is None and cause is RefusalCause.NO_TOKEN and now.search.active is None:
        found = tell_no_token(there)
    account = now.seen.account.name if now.seen.account is not None else None
    return None if found is None else replace(found, repo=str(other), account=account, token=now.describe_token())


def _tell_unknown(now: Case) -> Diagnosis:
    """New words of the Hub, and an organisation whose rules whoami shows: nothing is guessed."""
    seen = now.seen
    refused = [
        one
        for one in (seen.whoami, seen.info, seen.auth_check, seen.head)
        if isinstance(one, Reply) and one.status >= 400
    ]
    if rules := _list_restrictions(seen):
        return now.tell("organisation's rules", rules=", ".join(rules))
    detail = f'"{server_message(refused[-1])}"' if refused else "nothing."
    request_id = refused[-1].headers.get("x-request-id") if refused else None
    return now.tell("unknown", detail=detail, **({"request_id": request_id} if request_id else {}))


def _list_restrictions(seen: Observations) -> list[str]:
    """Return the Hub's words for the rules of the repo's organisation that this token does not meet."""
    orgs = seen.account.raw.get("orgs") if seen.account is not None else None
    rows = [org for org in orgs if isinstance(org, dict)] if isinstance(orgs, list) else []
    own = [
        org.get("securityRestrictions")
        for org in rows
        if seen.repo is not None and org.get("name") == seen.repo.namespace
    ]
    return [str(rule) for rules in own if isinstance(rules, list) for rule in rules]


# ---- evidence --------------------------------------------------------------------------------------------------------


def _list_evidence(now: Case) -> Iterator[Seen]:
    search = now.search
    seen = now.seen
    token = now.describe_token()
    yield Seen("token", _describe_token(now, token))
    others = [one.name for one in search.saved if token is None or one.name != token.name]
    if others:
        yield Seen("also saved", f"{', '.join(others[:5])} (not used)")
    if seen.moved_from is not None:
        yield Seen("moved", f"{seen.moved_from} is now {seen.repo}")
    if seen.summary is not None:
        yield Seen(
            "repo", _GATES.get(str(seen.summary.gated), "gated") + (", private" if seen.summary.is_private else "")
        )
    answers = {"whoami": seen.whoami, "repo": seen.info, "auth-check": seen.auth_check, "file": seen.head}
    for what, answer in answers.items():
        if answer is not None and not is_ok(answer) and not is_file_answer(answer):
            yield Seen(what, describe_answer(answer))
    yield from (
        Seen("not checked", f"{other}, which this repo loads")
        for other, answer in seen.related
        if isinstance(answer, NoReply)
    )
    yield from (Seen("setting", setting) for setting in search.settings if _matters(setting, list(answers.values())))
    if search.surroundings:
        yield Seen("runs in", join_words(search.surroundings, "and"))


def _matters(setting: str, answers: list[Answer | None]) -> bool:
    """Return whether a setting explains the answers: a proxy and certificates only if the Hub was not reached."""
    if any(map(is_reached, answers)) or setting.startswith("HF_ENDPOINT"):
        return setting.startswith("HF_ENDPOINT")
    is_about_certificates = setting.startswith(("SSL_", "REQUESTS_"))
    return not is_about_certificates or any(
        isinstance(answer, NoReply) and "certificate" in answer.detail.lower() for answer in answers
    )


def _describe_token(now: Case, token: TokenSeen | None) -> str:
    if token is None:
        return "none" if now.search.kept_back_by is None else f"none, because of {now.search.kept_back_by}"
    rights = {True: "reads gated repos", False: "may not read gated repos", None: None}[token.gated]
    kind = "fine-grained" if token.kind == "fineGrained" else token.kind
    details = ", ".join(part for part in (token.name, kind, rights) if part)
    return f"{token.source} ({details})" if details else token.source


def describe_answer(answer: Answer) -> str:
    """Return status, code and words of an answer in one line."""
    if isinstance(answer, NoReply):
        return answer.detail or answer.reason.value
    code = answer.headers.get("x-error-code")
    words = server_message(answer)
    return " ".join(part for part in (str(answer.status), code, f'"{words}"' if words else None) if part)
