"""The public functions: why an account cannot download, and what an error means."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack
from urllib.parse import urlsplit

from msgspec.structs import replace

from hf_gate.base.environment import is_true
from hf_gate.base.ids import Repo, parse_repo
from hf_gate.base.network_hosts import PUBLIC_HUB
from hf_gate.core.people.accounts import Account
from hf_gate.errors import InsecureEndpoint, UsageError
from hf_gate.hub.credentials import Secret, resolve_endpoint
from hf_gate.hub.drivers.clock import HubClock
from hf_gate.hub.protocol import endpoints
from hf_gate.hub.protocol.access_refusals import find_refusal_cause, is_answer_of_hub
from hf_gate.hub.protocol.messages import Answer, Reply
from hf_gate.hub.protocol.replies import is_transient

from .diagnosing import Case, describe_answer, diagnose
from .diagnosis import Diagnosis, DiagnosisCode, Seen, clean_diagnosis
from .explanations import combine, diagnose_failure
from .failures import Failure, read_error, read_log
from .observations import HubCaller, Observations, is_access_confirmed, observe, try_saved_tokens
from .token_search import ARGUMENT, TokenSearch, find_cached_file, search_tokens

Token = bool | str | Secret | None
MAX_CALLS: Final = 8
_FIRST_PAUSES: Final = (60.0, 120.0, 300.0, 600.0)  # seconds between the first calls of a wait
_LATER_PAUSE: Final = 900.0
_JITTER: Final = 0.1
_SITUATIONS_OF_STATES: Final = {
    "granted": "ok",
    "ask": "not asked",
    "pending": "pending",
    "rejected": "rejected",
    "reset": "reset",
    "sign_in": "program has no token",
}
# Another token may help. A rejected request is not among them: nobody is told to use another account for it.
_HELPED_BY_TOKENS: Final = frozenset(
    {
        DiagnosisCode.NOT_ASKED,
        DiagnosisCode.PENDING,
        DiagnosisCode.TOKEN_NO_GATED_PERMISSION,
        DiagnosisCode.TOKEN_ORG_POLICY,
        DiagnosisCode.TOKEN_INVALID,
        DiagnosisCode.TOKEN_EXPIRED,
    }
)
_LONGEST_WAIT: Final = 10 * 365 * 86400.0  # seconds
_WAITABLE: Final = frozenset({DiagnosisCode.PENDING, DiagnosisCode.TOKEN_ORG_POLICY, DiagnosisCode.NOT_ASKED})
_ABOUT_TOKENS: Final = frozenset(
    {DiagnosisCode.TOKEN_INVALID, DiagnosisCode.TOKEN_EXPIRED, DiagnosisCode.NO_TOKEN}
)  # for them, the token of this process is checked, also if no repo is known


class WhyOptions(TypedDict, total=False):
    """How `why` looks for the answer. The defaults are the revision main, and False."""

    revision: str
    all_tokens: bool  # also try saved tokens, where another one may help
    offline: bool  # make no call
    insecure_http: bool  # send the token to another machine over plain http


def why(
    repo: str | Repo | None = None,
    file: str | None = None,
    token: Token = None,
    endpoint: str | None = None,
    *,
    repo_type: str | None = None,
    token_source: str = ARGUMENT,
    **options: Unpack[WhyOptions],
) -> Diagnosis:
    """Return why the account of a token cannot download from a repo, or that it can.

    The token and the endpoint are those that `huggingface_hub` would use in this process, if they are not given.
    Without a repo, only the token is checked. It makes at most 5 calls, 8 if the repo loads others, and 4 more with
    `all_tokens`, within 20 seconds. It writes nothing and does not request access. The token goes to the endpoint only.
    What is in the way is returned, never raised; raises `UsageError` if the repo or the endpoint is not one.
    """
    origin = resolve_endpoint(endpoint)
    target = None if repo is None else parse_repo(repo, repo_type, endpoint=origin)
    search = search_tokens(token, os.environ, Path.home(), source=token_source)
    caller = HubCaller(origin, insecure_http=options.get("insecure_http", False))
    try:
        return _ask(caller, search, target, file, options)
    finally:
        caller.close()


def _ask(caller: HubCaller, search: TokenSearch, repo: Repo | None, file: str | None, options: WhyOptions) -> Diagnosis:
    seen = Observations(caller.endpoint, repo, file=file, revision=options.get("revision", "main"))
    found = _answer(caller, search, seen, options)
    known = replace(
        found,
        repo=str(seen.repo) if seen.repo is not None else None,
        file=file,
        token=Case(search, seen).describe_token(),
    )
    return clean_diagnosis(known, search.secrets)


def _answer(caller: HubCaller, search: TokenSearch, seen: Observations, options: WhyOptions) -> Diagnosis:
    now = Case(search, seen)
    used = search.active
    variable = next(
        (name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if is_true(os.environ.get(name))), None
    )
    if options.get("offline") or variable is not None:
        return _tell_offline(now, variable)
    if used is not None and used.problem is not None:
        return now.tell("malformed", problem=used.problem)
    try:
        caller.check_channel(used.secret if used is not None else None)
    except InsecureEndpoint as problem:
        return now.tell("plain http", detail=problem)
    caller.allow_calls(MAX_CALLS)
    observe(caller, search, seen)
    found = diagnose(search, seen)
    if options.get("all_tokens") and found.code in _HELPED_BY_TOKENS and seen.repo is not None:
        try_saved_tokens(caller, search, seen)
        found = diagnose(search, seen)
    return found


def _tell_offline(now: Case, variable: str | None) -> Diagnosis:
    """Nothing is fetched. What is cached can be used."""
    repo = now.seen.repo
    file = now.seen.file
    folder = f"{repo.type.value}s--{repo.namespace}--{repo.name}" if repo is not None else ""
    path = find_cached_file(folder, file, os.environ, Path.home()) if folder else None
    cached = f" {file or repo} is {'' if path is not None else 'not '}in the cache." if repo is not None else ""
    found = now.tell("offline" if variable else "offline by option", variable=variable, cached=cached)
    return replace(found, evidence=[Seen("cached", str(path))] if path is not None else [])


def explain(
    error: BaseException | str | None = None,
    look: bool = False,  # noqa: FBT002 - the signature of the contract
    *,
    endpoint: str | None = None,
) -> Diagnosis:
    """Return what an error means, or a pasted log: why the repo **of the error** was refused.

    Without an error, it explains the last one that this interpreter or notebook showed. It makes no call; with
    `look`, it then asks the Hub for the repo of the error, with the token of the failed request if the error still
    has it. Errors of `huggingface_hub` 2 and of libraries that wrap them are read with their causes, at most 12. It
    does not raise.
    """
    error = error if error is not None else getattr(sys, "last_value", "there is no error")
    failure = read_log(error) if isinstance(error, str) else read_error(error)
    return explain_failure(failure, endpoint=endpoint, look=look)


def explain_failure(
    failure: Failure,
    *,
    endpoint: str | None = None,
    look: bool = False,
    token: Token = None,
    token_source: str = ARGUMENT,
    **options: Unpack[WhyOptions],
) -> Diagnosis:
    """Return what a failure means; with `look`, ask the Hub as `why` does, with its options."""
    try:
        origin = resolve_endpoint(endpoint)
    except UsageError:
        origin = PUBLIC_HUB
        look = False
    own = diagnose_failure(failure, origin)
    secrets = [failure.secret] if failure.secret is not None else []
    if not look or (failure.repo is None and own.code not in _ABOUT_TOKENS):
        return clean_diagnosis(own, secrets)
    if failure.secret is not None and failure.host == urlsplit(origin).netloc:
        token = failure.secret
        token_source = "the failed request"  # noqa: S105
    file = None if failure.is_log else failure.file  # the address of a file in a log may be cut off
    current = why(failure.repo, file, token, origin, token_source=token_source, **options)
    secrets += search_tokens(None, os.environ, Path.home()).secrets
    return clean_diagnosis(combine(failure, own, current, origin), secrets)


def describe_access(state: str, repo: Repo, endpoint: str, account: Account | None) -> Diagnosis:
    """Return the diagnosis of a state that `Hub.check_access` returned, without a call."""
    now = Case(TokenSearch(), Observations(endpoint, repo, account=account))
    found = now.tell(_SITUATIONS_OF_STATES.get(state, "words not known"))
    return clean_diagnosis(replace(found, repo=str(repo), account=account.name if account is not None else None), [])


@contextmanager
def explaining() -> Iterator[None]:
    """Add what an error means as a note to each error that leaves the block, and raise the same error.

    It makes no call. Errors that say nothing about a repo get no note.
    """
    try:
        yield
    except Exception as error:
        if (found := _explain_refusal(error)) is not None:
            error.add_note("\n".join(line for line in found.to_lines() if not line.startswith("  seen")))
        raise


def _explain_refusal(error: BaseException) -> Diagnosis | None:
    """Return what an error about a repo means; None for another error. It never hides the error by one of its own."""
    with suppress(Exception):
        found = explain(error)
        if found.repo is not None and found.code is not DiagnosisCode.REFUSED_UNKNOWN:
            return found
    return None


def wait_for_access(
    repo: str | Repo,
    timeout: float | None = None,
    token: Token = None,
    endpoint: str | None = None,
    *,
    file: str | None = None,
    repo_type: str | None = None,
    token_source: str = ARGUMENT,
    on_wait: Callable[[Diagnosis], None] = lambda _: None,
    **options: Unpack[WhyOptions],
) -> Diagnosis:
    """Wait until the state of a request changes, and return the diagnosis then.

    It waits while the request is pending, while an organisation has to approve the token, and before a request to a
    repo that accepts at once; any other state is returned at once. `timeout` is in seconds; None waits without an
    end. After `on_wait`, which gets the diagnosis before, it makes one call after 1, 3, 8 and 18 minutes, then every
    15 minutes, give or take a tenth. A Hub that cannot be asked ends no wait. The options are those of `why`.
    """
    origin = resolve_endpoint(endpoint)
    target = parse_repo(repo, repo_type, endpoint=origin)
    search = search_tokens(token, os.environ, Path.home(), source=token_source)
    caller = HubCaller(origin, insecure_http=options.get("insecure_http", False))
    ask = partial(_ask, caller, search, target, file, options)
    pauses = chain(_FIRST_PAUSES, repeat(_LATER_PAUSE))
    is_over = False
    try:
        first = ask()
        if not _is_waitable(first):
            return first or _add_evidence(first, "wait", "not started: time alone changes nothing here")
        on_wait(first)
        clock = HubClock(origin, lambda: caller)
        state = str(first.code)
        ends_at = None if timeout is None else clock.now() + timedelta(seconds=min(timeout, _LONGEST_WAIT))
        while not is_over:
            pause = next(pauses) * random.uniform(1 - _JITTER, 1 + _JITTER)
            left = (ends_at - clock.now()).total_seconds() if ends_at is not None else pause + 1
            is_over = left <= pause
            clock.sleep(min(pause, left))
            caller.allow_calls(1)
            call = endpoints.build_auth_check_call(parse_repo(str(first.repo)))
            answer = caller.ask(call, search.active.secret if search.active is not None else None)
            latest_state = _describe_state(answer)  # None also while the budget of calls waits for a Retry-After
            latest = ask() if latest_state not in (None, state) else first
            if latest.exit_code == 75:
                continue
            if latest.code is not first.code:
                return _add_evidence(latest, "before", first.code)
            state = latest_state or state
    finally:
        caller.close()
    return _add_evidence(first, "wait", f"the time is over, and the state is still {first.code}")


def _describe_state(answer: Answer) -> str | None:
    """Return the cause of a refusal, or else the Hub's words; None for an answer that says nothing about access."""
    if is_access_confirmed(answer):
        return str(DiagnosisCode.OK)
    if not isinstance(answer, Reply) or is_transient(answer) or not is_answer_of_hub(answer):
        return None
    return str(find_refusal_cause(answer) or describe_answer(answer))


def _add_evidence(diagnosis: Diagnosis, what: str, value: str) -> Diagnosis:
    return replace(diagnosis, evidence=[Seen(what, value), *diagnosis.evidence])


def _is_waitable(diagnosis: Diagnosis) -> bool:
    is_at_once = any(seen.what == "repo" and "at once" in seen.value for seen in diagnosis.evidence)
    return diagnosis.code in _WAITABLE and (diagnosis.code is not DiagnosisCode.NOT_ASKED or is_at_once)


def load_ipython_extension(shell: Any) -> None:
    """Add one line below each error of a repo in this notebook: `%load_ext hf_gate`."""

    def show(
        shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: int | None = None
    ) -> None:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        if (found := _explain_refusal(error)) is not None:
            print(f"{found.title} {found.sentence} More: hf_gate.explain(look=True)")  # noqa: T201 - in the notebook

    shell.set_custom_exc((Exception,), show)
