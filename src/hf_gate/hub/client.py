"""The blocking client `Hub`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import WeakSet

from .. import __version__
from ..domain.accounts import Account, Gate, Profile
from ..domain.ids import Person, Repo, parse_repo
from ..domain.lifecycle import STATUSES, Status
from ..domain.outcomes import Outcome
from ..domain.requests import AccessRequest, Decision, Target, check_reason, target_of
from ..errors import HubError, InvalidStatus, UsageError
from ..protocol.flows import bulk, lookup, repos, single_decision
from ..protocol.flows.calls import Flow, FlowContext, RetryPolicy, T
from ..protocol.flows.listing import Head, list_requests, read_head
from ..protocol.messages import EmitValue
from ..protocol.pacing import Outlook
from .budget import budget_for
from .clock import clock_for
from .credentials import check_channel, check_online, resolve_endpoint, resolve_token
from .driver import Driver
from .errors import to_huggingface_error
from .listing import Listing
from .transport import BlockingTransport, HubConnection, build_user_agent

if TYPE_CHECKING:
    from ..domain.forms import GateForm
    from ..protocol.flows.lookup import Found

UserRef = str | Person | AccessRequest | None
RevocationMode = Literal["reset", "reject", "cancel"]
REVOCATION_STATUS: dict[str, Status] = {"reset": Status.RESET, "reject": Status.REJECTED, "cancel": Status.PENDING}
TargetRef = str | Person | AccessRequest | Target
UNSET: Any = object()


def resolve_connection(token: Any, endpoint: str | None, timeout: float, *, insecure_http: bool) -> HubConnection:
    """Resolve endpoint and token; raise before anything is sent if they cannot be used."""
    if not timeout > 0:
        raise UsageError(f"timeout={timeout!r} is not a positive number of seconds.")
    origin, secret = resolve_endpoint(endpoint), resolve_token(token)
    check_channel(origin, secret, insecure_http=insecure_http)
    return HubConnection(origin, clock_for(origin), timeout, secret, build_user_agent(__version__))


def to_target(who: TargetRef) -> Target:
    """Return the target for a person or request."""
    return who if isinstance(who, Target) else target_of(who)


def parse_status(status: str) -> Status:
    """Parse the name of one of the four lists."""
    word = status.strip().lower()
    if word not in STATUSES:
        raise InvalidStatus(f"unknown status {status!r}.", hint=f"Write one of {', '.join(STATUSES)}.")
    return Status(word)


def revocation_status(how: str, reason: str | None) -> Status:
    """Return the status that a revocation sets."""
    if how not in REVOCATION_STATUS:
        raise UsageError(f"unknown how={how!r}.", hint="Write reset, reject or cancel.")
    if how == "cancel" and reason is not None:
        raise UsageError("cancel does not take a reason.", hint='Use how="reset" or how="reject" to give one.')
    return REVOCATION_STATUS[how]


def build_gate_settings(
    mode: Any, org_members_gated: bool | None, notify_email: str | None, notify_mode: str | None
) -> dict[str, Any]:
    """Return the body of a settings call; raise UsageError for unknown values."""
    if mode is not UNSET and mode not in (False, "auto", "manual"):
        raise UsageError(f"unknown gate mode {mode!r}.", hint='Write "auto", "manual" or False.')
    if notify_mode not in (None, "bulk", "real-time"):
        raise UsageError(f"unknown notification mode {notify_mode!r}.", hint='Write "bulk" or "real-time".')
    values = {
        "gated": None if mode is UNSET else mode,
        "orgMembersGated": org_members_gated,
        "gatedNotificationsEmail": notify_email,
        "gatedNotificationsMode": notify_mode,
    }
    return {key: value for key, value in values.items() if value is not None}


class Hub:
    """Access requests of gated repositories on one Hub, as one account. It is thread-safe.

    `token` and `endpoint` are found as `huggingface_hub` finds them (`token=False`: no token). `timeout` is in seconds of
    silence; a whole attempt, including slow headers and bodies, may take six times as long. `max_wait` limits the
    seconds of a call with all attempts and waits; then `HubUnavailable` is raised (None: wait for announced limits, and
    try an unreachable Hub a few times). An attempt always gets at least a second, and reading back a change gets the
    same limit again. `reserve` is the share of the token's calls that bulk work leaves free.

    A change returns an outcome, done or already so, or raises an error. See `docs/outcomes.md`.
    """

    def __init__(
        self,
        token: str | bool | None = None,
        endpoint: str | None = None,
        *,
        timeout: float = 10.0,
        max_wait: float | None = None,
        reserve: float = 0.25,
        insecure_http: bool = False,
    ) -> None:
        connection = resolve_connection(token, endpoint, timeout, insecure_http=insecure_http)
        self.endpoint, self._clock = connection.origin, connection.clock
        budget = budget_for(connection.origin, connection.token.fingerprint if connection.token else "", reserve)
        self._driver = Driver(BlockingTransport(connection, time.monotonic), budget, connection.clock, max_wait)
        self._patience = RetryPolicy(max_wait)
        self._listings: WeakSet[Listing] = WeakSet()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Hub({self.endpoint!r})"

    def close(self) -> None:
        """Close connections and threads. Open listings end."""
        self._driver.close()

    # ---- listing -----------------------------------------------------------------------------------------------------

    def list(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> Listing:
        """List the requests of a status, lazily and each once, in the Hub's order (usually the newest first)."""
        wanted = parse_status(status)
        target, flow = self._start(repo, repo_type, lambda target, context: list_requests(target, wanted, context))
        listing = Listing(target, wanted, lambda done: self._driver.run(flow, on_result=done))
        with self._lock:
            self._listings.add(listing)
        return listing

    def list_pending(self, repo: str | Repo, *, repo_type: str | None = None) -> Listing:
        """List the requests that wait for a review."""
        return self.list(repo, Status.PENDING, repo_type=repo_type)

    def list_accepted(self, repo: str | Repo, *, repo_type: str | None = None) -> Listing:
        """List the people with access: accepted, or granted without a request (then without e-mail address and answers)."""
        return self.list(repo, Status.ACCEPTED, repo_type=repo_type)

    def list_rejected(self, repo: str | Repo, *, repo_type: str | None = None) -> Listing:
        """List the rejected requests; these people cannot ask again."""
        return self.list(repo, Status.REJECTED, repo_type=repo_type)

    def list_reset(self, repo: str | Repo, *, repo_type: str | None = None) -> Listing:
        """List the requests that were sent back; these people have not asked again yet."""
        return self.list(repo, Status.RESET, repo_type=repo_type)

    def head(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> Head:
        """Return the first page of a list with one call: enough to see who is new, but not who is gone."""
        wanted = parse_status(status)
        return self._fetch(repo, repo_type, lambda target, context: read_head(target, wanted, context))

    # ---- finding -----------------------------------------------------------------------------------------------------

    def find(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> AccessRequest | None:
        """Return one person's current request from any list; None if there is none.

        A search by name takes a call for each list; by id alone, the lists are read until the request is found. Raises
        `Incomplete` if nothing is found and the lists cannot be proved complete, for example if the repo hides names.
        """
        person = target_of(user, request_id=request_id, user_id=user_id)
        return self._fetch(repo, repo_type, lambda target, context: lookup.find_one(target, person, context))

    def find_many(self, repo: str | Repo, targets: Iterable[TargetRef], *, repo_type: str | None = None) -> Found:
        """Return the current requests of several people, by their index in `targets`; reads each list at most once."""
        people = [to_target(who) for who in targets]
        statuses = lookup.choose_statuses(people)
        return self._fetch(
            repo, repo_type, lambda target, context: lookup.find_requests(target, people, statuses, context)
        )

    # ---- deciding ----------------------------------------------------------------------------------------------------

    def accept(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """Give the person access. As far as we know, the Hub sends them no e-mail."""
        return self._decide(Status.ACCEPTED, None, repo, user, request_id, user_id, repo_type)

    def reject(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        reason: str | None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """Deny access; the person **cannot ask again** and sees `reason` (at most 200 UTF-16 units).

        Use `reset` to let them ask again.
        """
        return self._decide(Status.REJECTED, reason, repo, user, request_id, user_id, repo_type)

    def cancel(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """Return the request to pending. An accepted person loses access until somebody reviews the request again."""
        return self._decide(Status.PENDING, None, repo, user, request_id, user_id, repo_type)

    def reset(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        reason: str | None = None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """Send the request back: the person can fill in the form again.

        The Hub e-mails them `reason` (at most 200 UTF-16 units).
        """
        return self._decide(Status.RESET, reason, repo, user, request_id, user_id, repo_type)

    def grant_access(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """Give a person access without a request. A new entry has no e-mail address and no answers."""
        person = target_of(user, request_id=request_id, user_id=user_id)
        return self._run_single(
            repo, repo_type, lambda target, context: single_decision.grant_access(target, person, context)
        )

    def revoke_access(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        how: RevocationMode = "reset",
        reason: str | None = None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """Take access away; downloaded files stay with the person.

        `how`: reset (may ask again), reject (may not), cancel.
        """
        return self._decide(revocation_status(how, reason), reason, repo, user, request_id, user_id, repo_type)

    def decide_many(
        self, repo: str | Repo, decisions: Iterable[Decision], *, repo_type: str | None = None
    ) -> Iterator[Outcome]:
        """Send any number of decisions in batches of 100; yield the outcomes as they become known, in any order.

        Raises only errors that stop the whole run (no permission, not gated, Hub unavailable). Decisions that were taken
        but not sent are first reported as `open`. Requests that were read before this call are read again, and those
        that have changed are not decided.
        """
        target, flow = self._start(repo, repo_type, bulk.decide_many)
        return self._run_changing(target, flow, decisions)

    def _decide(
        self,
        to: Status,
        reason: str | None,
        repo: str | Repo,
        user: UserRef,
        request_id: str | None,
        user_id: str | None,
        repo_type: str | None,
    ) -> Outcome:
        decision = Decision(to, target_of(user, request_id=request_id, user_id=user_id), check_reason(reason))
        return self._run_single(
            repo, repo_type, lambda target, context: single_decision.decide_one(target, decision, context)
        )

    def _run_single(
        self, repo: str | Repo, repo_type: str | None, make: Callable[[Repo, FlowContext], Flow[Outcome]]
    ) -> Outcome:
        target, flow = self._start(repo, repo_type, make)
        outcome: Outcome = list(self._run_changing(target, emit_result(flow), ()))[-1]
        if isinstance(outcome.error, HubError):
            raise to_huggingface_error(outcome.error) from None
        if outcome.error is not None:
            raise outcome.error
        return outcome

    def _run_changing(self, repo: Repo, flow: Flow[Any], source: Iterable[Any]) -> Iterator[Any]:
        return self._driver.run(flow, source, before_change=lambda: self._read_open_listings(repo))

    def _read_open_listings(self, repo: Repo) -> None:
        with self._lock:
            open_ones = [listing for listing in self._listings if listing.is_open and listing.repo == repo]
        for listing in open_ones:
            listing.read_ahead()

    # ---- gates, people, one's own access -----------------------------------------------------------------------------

    def gate(self, repo: str | Repo, *, repo_type: str | None = None) -> Gate:
        """Return how a repo is gated."""
        return self._fetch(repo, repo_type, repos.fetch_gate)

    def set_gate(
        self,
        repo: str | Repo,
        mode: Literal[False, "auto", "manual"] = UNSET,
        *,
        org_members_gated: bool | None = None,
        notify_email: str | None = None,
        notify_mode: Literal["bulk", "real-time"] | None = None,
        repo_type: str | None = None,
    ) -> Gate:
        """Change the gate settings. Requests stay as they are. With mode False, the files become public.

        The notification settings and `org_members_gated` cannot be read back through the API.
        """
        values = build_gate_settings(mode, org_members_gated, notify_email, notify_mode)
        return self._fetch(repo, repo_type, lambda target, context: repos.set_gate(target, values, context))

    def gate_form(self, repo: str | Repo, *, repo_type: str | None = None) -> GateForm:
        """Return the current gate form of the repo's card; earlier requests may have answered another form."""
        from ..domain.forms import parse_gate_form  # imported on first use: it takes 0.15 s

        return parse_gate_form(self._fetch(repo, repo_type, repos.fetch_card))

    def access_report(self, repo: str | Repo, *, repo_type: str | None = None) -> Sequence[dict[str, Any]]:
        """Return the Hub's access report: requests of all statuses, without form answers, with the Hub's keys."""
        return self._fetch(repo, repo_type, repos.fetch_report)

    def gated_repos(self, owner: str) -> Iterator[Gate]:
        """Yield the gated models, then the gated datasets of a person or organisation."""
        check_online()
        return self._driver.run(repos.list_gated_repos(owner, self._new_context()))

    def org_members(self, org: str) -> Iterator[Person]:
        """Yield the members of an organisation. They bypass the gates of its repos, unless a repo gates its members."""
        check_online()
        return self._driver.run(repos.list_org_members(org, self._new_context()))

    def profile(self, user: str | Person) -> Profile:
        """Return a public profile; takes one call."""
        name = user.username if isinstance(user, Person) else user
        if not name:
            raise UsageError("the Person has no username; profiles can only be found by username.")
        return self._run_flow(lambda context: repos.fetch_profile(name, context))

    def whoami(self) -> Account:
        """Return the token's account. The Hub's rate limit for this call is strict: keep the answer."""
        return self._run_flow(repos.fetch_account)

    def ask_access(
        self, repo: str | Repo, answers: Mapping[str, str] | None = None, *, repo_type: str | None = None
    ) -> str:
        """Ask for access as the token's account, with answers by label; return the state of `check_access` afterwards.

        Asking changes nothing for a person who is pending, accepted or rejected; the Hub's answer is the same.
        """
        form = dict(answers or {})
        return self._fetch(repo, repo_type, lambda target, context: repos.ask_access(target, form, context))

    def withdraw(self, repo: str | Repo, *, repo_type: str | None = None) -> Outcome:
        """Withdraw one's own pending request; the Hub deletes it."""
        return self._fetch(repo, repo_type, repos.withdraw_request)

    def check_access(self, repo: str | Repo, *, repo_type: str | None = None) -> str:
        """Return the access of the token's account: granted, ask, pending, rejected, reset, sign_in or unknown."""
        return self._fetch(repo, repo_type, repos.check_access)

    def outlook(self) -> Outlook:
        """Return the state of the token's rate limits, for progress displays."""
        return self._driver.budget.outlook(self._clock.now())

    @property
    def skew(self) -> float | None:
        """Seconds that the Hub's clock is ahead of this machine's, as proved by its last answer; None before the first proof."""
        return self._clock.skew

    def _fetch(self, repo: str | Repo, repo_type: str | None, make: Callable[[Repo, FlowContext], Flow[T]]) -> T:
        return self._driver.run_to_result(self._start(repo, repo_type, make)[1])

    def _run_flow(self, make: Callable[[FlowContext], Flow[T]]) -> T:
        check_online()
        return self._driver.run_to_result(make(self._new_context()))

    def _start(
        self, repo: str | Repo, repo_type: str | None, make: Callable[[Repo, FlowContext], Flow[T]]
    ) -> tuple[Repo, Flow[T]]:
        """Return the parsed repo and a flow for it; raise before anything is sent if the Hub must not be called."""
        target, context = parse_repo(repo, repo_type), self._new_context()
        check_online()
        return target, repos.with_type_hint(make(target, context), target, context)

    def _new_context(self) -> FlowContext:
        return FlowContext(self.endpoint, self._patience, self._clock.now())


def emit_result(flow: Flow[Any]) -> Flow[None]:
    """Run a flow, then emit its result as a value."""
    yield EmitValue((yield from flow))
