"""The blocking client `Hub`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self
from weakref import WeakSet

from hf_gate.base.ids import Person, Repo
from hf_gate.core.lifecycle import Status
from hf_gate.core.outcomes import Outcome
from hf_gate.core.people.accounts import Account, Gate, Profile
from hf_gate.core.requests import AccessRequest, Decision, target_of
from hf_gate.errors import UsageError
from hf_gate.hub.drivers.driver import Driver
from hf_gate.hub.drivers.transport import BlockingTransport, HubConnection
from hf_gate.hub.protocol.flows import bulk, lookup, repos, single_decision
from hf_gate.hub.protocol.flows.calls import Flow, T
from hf_gate.hub.protocol.flows.listing import Head, list_requests, read_head

from .client_base import (
    UNSET,
    HubBase,
    Operation,
    RevocationMode,
    TargetRef,
    UserRef,
    build_gate_settings,
    emit_result,
    fetch_form,
    last_outcome,
    parse_status,
    revocation_status,
    show_result,
    to_target,
)
from .credentials import check_online
from .decision_runs import DecisionRun
from .listing import Listing

if TYPE_CHECKING:
    from hf_gate.core.forms.forms import GateForm
    from hf_gate.hub.protocol.flows.lookup import Found

P = ParamSpec("P")


def make_blocking(make: Callable[Concatenate[Hub, P], Operation[T]]) -> Callable[Concatenate[Hub, P], T]:
    """Make a method that performs the operation which `make` returns. `AsyncHub` awaits the same operations."""

    @wraps(make)
    def call(hub: Hub, /, *args: P.args, **named: P.kwargs) -> T:
        return hub._perform(make(hub, *args, **named))  # noqa: SLF001 - a method of this class

    show_result(call, make)
    return call


class Hub(HubBase[Listing], listing="Listing"):
    """Access requests of gated repositories on one Hub, as one account. It is thread-safe.

    `token` and `endpoint` are found as `huggingface_hub` finds them (`token=False`: no token). `timeout` is in seconds
    of silence; a whole attempt, including slow headers and bodies, may take six times as long. `max_wait` limits the
    seconds of a call with all attempts and waits; then `HubUnavailable` is raised (None: wait for announced limits,
    each at most an hour, and try an unreachable Hub a few times). An attempt always gets at least a second, and reading
    back a change gets the same limit again. `reserve` is the share of the token's calls that bulk work leaves free.

    A change returns an outcome, done or already so, or raises an error. See `docs/outcomes.md`.
    """

    def _open(self, connection: HubConnection, max_wait: float | None) -> None:
        self._driver = Driver(BlockingTransport(connection, time.monotonic), self._budget, connection.clock, max_wait)
        self._listings: WeakSet[Listing] = WeakSet()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and threads. Open listings end."""
        self._driver.close()

    # ---- listing -----------------------------------------------------------------------------------------------------

    def list(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> Listing:
        wanted = parse_status(status)
        target, flow = self._start(repo, repo_type, lambda target, context: list_requests(target, wanted, context))
        listing = Listing(target, wanted, lambda done: self._driver.run(flow, on_result=done))
        with self._lock:
            self._listings.add(listing)
        return listing

    @make_blocking
    def head(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> Operation[Head]:
        """Return the first page of a list with one call: enough to see who is new, but not who is gone."""
        wanted = parse_status(status)
        return self._operation(repo, repo_type, lambda target, context: read_head(target, wanted, context))

    # ---- finding -----------------------------------------------------------------------------------------------------

    @make_blocking
    def find(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Operation[AccessRequest | None]:
        """Return one person's current request from any list; None if there is none.

        A search by name takes a call for each list; by id alone, the lists are read until the request is found. Raises
        `Incomplete` if nothing is found and the lists cannot be proved complete, for example if the repo hides names.
        """
        person = target_of(user, request_id=request_id, user_id=user_id)
        return self._operation(repo, repo_type, lambda target, context: lookup.find_one(target, person, context))

    @make_blocking
    def find_many(
        self, repo: str | Repo, targets: Iterable[TargetRef], *, repo_type: str | None = None
    ) -> Operation[Found]:
        """Return the current requests of several people, by their index in `targets`; reads each list at most once."""
        people = [to_target(who) for who in targets]
        statuses = lookup.choose_statuses(people)
        return self._operation(
            repo, repo_type, lambda target, context: lookup.find_requests(target, people, statuses, context)
        )

    # ---- deciding ----------------------------------------------------------------------------------------------------

    @make_blocking
    def accept(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Operation[Outcome]:
        """Give the person access. As far as we know, the Hub sends them no e-mail."""
        return self._decision(Status.ACCEPTED, None, repo, user, request_id, user_id, repo_type)

    @make_blocking
    def reject(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        reason: str | None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Operation[Outcome]:
        """Deny access; the person **cannot ask again** and sees `reason`. Use `reset` to let them ask again.

        Raises ReasonTooLong, before anything is sent, for a reason that the Hub would refuse.
        """
        return self._decision(Status.REJECTED, reason, repo, user, request_id, user_id, repo_type)

    @make_blocking
    def cancel(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Operation[Outcome]:
        """Return the request to pending. An accepted person loses access until somebody reviews the request again."""
        return self._decision(Status.PENDING, None, repo, user, request_id, user_id, repo_type)

    @make_blocking
    def reset(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        reason: str | None = None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Operation[Outcome]:
        """Send the request back: the person can fill in the form again.

        The Hub e-mails them `reason`. Raises ReasonTooLong, before anything is sent, for one that the Hub would refuse.
        """
        return self._decision(Status.RESET, reason, repo, user, request_id, user_id, repo_type)

    @make_blocking
    def grant_access(
        self,
        repo: str | Repo,
        user: UserRef = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Operation[Outcome]:
        """Give a person access without a request. A new entry has no e-mail address and no answers."""
        person = target_of(user, request_id=request_id, user_id=user_id)
        return self._change(
            repo, repo_type, lambda target, context: single_decision.grant_access(target, person, context)
        )

    @make_blocking
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
    ) -> Operation[Outcome]:
        """Take access away; downloaded files stay with the person.

        `how`: reset (may ask again), reject (may not), cancel.
        """
        to = revocation_status(how, reason)
        return self._decision(to, reason, repo, user, request_id, user_id, repo_type)

    def decide_many(
        self, repo: str | Repo, decisions: Iterable[Decision], *, repo_type: str | None = None
    ) -> Iterator[Outcome]:
        """Send any number of decisions in batches of 100; return an iterator over the outcomes, in any order.

        Nothing is sent before you iterate. Raises only errors that stop the whole run (no permission, not gated, Hub
        unavailable, an item that is no decision). Decisions that were taken but not sent are first reported as `open`.
        Requests that were read before this call are read again, and those that have changed are not decided. A repeated
        decision has the outcome of the first one, but `already` instead of `done`.
        """
        target, flow = self._start(repo, repo_type, bulk.decide_many)
        return DecisionRun(target, decisions, self._run_changing(target, flow, decisions))

    def _perform(self, operation: Operation[T]) -> T:
        if operation.changed is None:
            return self._driver.run_to_result(operation.flow)
        done: T = last_outcome(list(self._run_changing(operation.changed, emit_result(operation.flow), ())))
        return done

    def _run_changing(self, repo: Repo, flow: Flow[Any], source: Iterable[Any]) -> Generator[Any, None, Any]:
        return self._driver.run(flow, source, before_change=lambda: self._read_open_listings(repo))

    def _read_open_listings(self, repo: Repo) -> None:
        with self._lock:
            open_ones = [listing for listing in self._listings if listing.is_open and listing.repo == repo]
        for listing in open_ones:
            listing.read_ahead()

    # ---- gates, people, one's own access -----------------------------------------------------------------------------

    @make_blocking
    def gate(self, repo: str | Repo, *, repo_type: str | None = None) -> Operation[Gate]:
        """Return how a repo is gated."""
        return self._operation(repo, repo_type, repos.fetch_gate)

    @make_blocking
    def set_gate(
        self,
        repo: str | Repo,
        mode: Literal[False, "auto", "manual"] = UNSET,
        *,
        org_members_gated: bool | None = None,
        notify_email: str | None = None,
        notify_mode: Literal["bulk", "real-time"] | None = None,
        repo_type: str | None = None,
    ) -> Operation[Gate]:
        """Change the gate settings. Requests stay as they are. With mode False, the files become public.

        The notification settings and `org_members_gated` cannot be read back through the API.
        """
        values = build_gate_settings(mode, org_members_gated, notify_email, notify_mode)
        return self._operation(repo, repo_type, lambda target, context: repos.set_gate(target, values, context))

    @make_blocking
    def gate_form(self, repo: str | Repo, *, repo_type: str | None = None) -> Operation[GateForm]:
        """Return the current gate form of the repo's card; earlier requests may have answered another form."""
        return self._operation(repo, repo_type, fetch_form)

    @make_blocking
    def access_report(self, repo: str | Repo, *, repo_type: str | None = None) -> Operation[Sequence[dict[str, Any]]]:
        """Return the Hub's access report: requests of all statuses, without form answers, with the Hub's keys."""
        return self._operation(repo, repo_type, repos.fetch_report)

    def gated_repos(self, owner: str) -> Iterator[Gate]:
        """Yield the gated models, then the gated datasets of a person or organisation."""
        check_online()
        return self._driver.run(repos.list_gated_repos(owner, self._new_context()))

    def org_members(self, org: str) -> Iterator[Person]:
        """Yield the members of an organisation. They bypass the gates of its repos, unless a repo gates its members."""
        check_online()
        return self._driver.run(repos.list_org_members(org, self._new_context()))

    @make_blocking
    def profile(self, user: str | Person) -> Operation[Profile]:
        """Return a public profile; takes one call."""
        name = user.username if isinstance(user, Person) else user
        if not name:
            raise UsageError("the Person has no username; profiles can only be found by username.")
        check_online()
        return Operation(repos.fetch_profile(name, self._new_context()))

    @make_blocking
    def whoami(self) -> Operation[Account]:
        """Return the token's account. The Hub's rate limit for this call is strict: keep the answer."""
        check_online()
        return Operation(repos.fetch_account(self._new_context()))

    @make_blocking
    def ask_access(
        self, repo: str | Repo, answers: Mapping[str, str] | None = None, *, repo_type: str | None = None
    ) -> Operation[str]:
        """Ask for access as the token's account, with answers by label; return the state of `check_access` afterwards.

        Asking changes nothing for a person who is pending, accepted or rejected; the Hub's answer is the same.
        """
        form = dict(answers or {})
        return self._operation(repo, repo_type, lambda target, context: repos.ask_access(target, form, context))

    @make_blocking
    def withdraw(self, repo: str | Repo, *, repo_type: str | None = None) -> Operation[Outcome]:
        """Withdraw one's own pending request; the Hub deletes it."""
        return self._operation(repo, repo_type, repos.withdraw_request)

    @make_blocking
    def check_access(self, repo: str | Repo, *, repo_type: str | None = None) -> Operation[str]:
        """Return the access of the token's account: granted, ask, pending, rejected, reset, sign_in or unknown.

        Granted means that the Hub confirmed the access and did not refuse a file; this takes a second call. `sign_in`
        means that no token was sent. Raises `NotAllowed` if something other than the request is in the way: a revoked,
        mistyped or expired token, a missing permission, an organisation's rule, the region, or a closed repo.
        """
        return self._operation(repo, repo_type, repos.check_access)


def limit_client(hub: Hub, seconds_left: Callable[[], float], count_sharers: Callable[[], int]) -> None:
    """Let a client start and go on with changes only while `seconds_left` is positive.

    `count_sharers` returns how many processes share the limits of its token.
    """
    hub._driver.seconds_to_change = seconds_left  # noqa: SLF001 - not for users of the library
    hub._driver.count_sharers = count_sharers  # noqa: SLF001


def is_token_refused(hub: Hub) -> bool | None:
    """Return whether the Hub refuses the token of a client; None before its first answer."""
    return hub._driver.is_token_refused  # noqa: SLF001 - as above
