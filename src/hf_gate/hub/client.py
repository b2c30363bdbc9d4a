"""The blocking client."""

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
from ..domain.requests import AccessRequest, Decision, Target, checked_reason, target_of
from ..errors import HubError, InvalidStatus, UsageError
from ..protocol.flows import bulk, deciding, finding, repos
from ..protocol.flows.calling import Flow, FlowContext, RetryPolicy, T
from ..protocol.flows.listing import Head, list_requests, read_head
from ..protocol.messages import EmitValue
from ..protocol.pacing import Outlook
from .budget import budget_for
from .clock import clock_for
from .credentials import check_channel, check_online, resolve_endpoint, resolve_token
from .driver import Driver
from .errors import dressed
from .listing import Listing
from .transport import BlockingTransport, Wire, user_agent

if TYPE_CHECKING:
    from ..domain.forms import GateForm
    from ..protocol.flows.finding import Found

Who = str | Person | AccessRequest | None
How = Literal["reset", "reject", "cancel"]
HOW: dict[str, Status] = {"reset": Status.RESET, "reject": Status.REJECTED, "cancel": Status.PENDING}
Whom = str | Person | AccessRequest | Target
UNSET: Any = object()


def wire_of(token: Any, endpoint: str | None, timeout: float, *, insecure_http: bool) -> Wire:
    """Where to call, as whom; refuses before anything is sent."""
    if not timeout > 0:
        raise UsageError(f"timeout={timeout!r}: a positive number of seconds is needed.")
    origin, secret = resolve_endpoint(endpoint), resolve_token(token)
    check_channel(origin, secret, insecure_http=insecure_http)
    return Wire(origin, clock_for(origin), timeout, secret, user_agent(__version__))


def targeted(who: Whom) -> Target:
    """Who is meant."""
    return who if isinstance(who, Target) else target_of(who)


def known_status(status: str) -> Status:
    """One of the four lists, or a clear refusal."""
    word = status.strip().lower()
    if word not in STATUSES:
        raise InvalidStatus(f"unknown status {status!r}.", hint=f"Write one of {', '.join(STATUSES)}.")
    return Status(word)


def revoke_status(how: str, reason: str | None) -> Status:
    """Where a revocation sends a person."""
    if how not in HOW:
        raise UsageError(f"unknown how={how!r}.", hint="Write reset, reject or cancel.")
    if how == "cancel" and reason is not None:
        raise UsageError("cancel carries no reason.", hint='Use how="reset" or how="reject" to give one.')
    return HOW[how]


def gate_values(
    mode: Any, org_members_gated: bool | None, notify_email: str | None, notify_mode: str | None
) -> dict[str, Any]:
    """The body of a settings call; an unknown value is refused before it is sent."""
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
    """Access requests of gated repositories on one Hub, as one account. Thread-safe.

    `token` and `endpoint` are found as `huggingface_hub` finds them (`token=False`: none). `timeout`: seconds of
    silence after which a try is given up; a whole try, slow headers and bodies included, may take six times that.
    `max_wait`: the most seconds a call may take with all its tries, its waits for the rate limit and for an absent Hub;
    then `HubUnavailable` (None: announced limits are waited for, an absent Hub is tried a few times). A single try
    always gets a second, and reading back what became of a change as long again. `reserve`: the share of the token's
    calls that bulk work leaves free.

    Every change is told as it is: done, or already so; else an error is raised. See `docs/outcomes.md`.
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
        wire = wire_of(token, endpoint, timeout, insecure_http=insecure_http)
        self.endpoint, self._clock = wire.origin, wire.clock
        budget = budget_for(wire.origin, wire.token.fingerprint if wire.token else "", reserve)
        self._driver = Driver(BlockingTransport(wire, time.monotonic), budget, wire.clock, max_wait)
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
        """Close connections and threads; open listings end."""
        self._driver.close()

    # ---- listing -------------------------------------------------------------------------------------------------

    def list(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> Listing:
        """The requests in one of the four lists, lazily, each once. Order is the Hub's: as a rule the newest first."""
        check_online()
        where, wanted = parse_repo(repo, repo_type), known_status(status)
        setting = self._setting()
        flow = repos.with_type_hint(list_requests(where, wanted, setting), where, setting)
        listing = Listing(where, wanted, lambda done: self._driver.run(flow, done=done))
        with self._lock:
            self._listings.add(listing)
        return listing

    def list_pending(self, repo: str | Repo, *, repo_type: str | None = None) -> Listing:
        """Who waits for a review."""
        return self.list(repo, Status.PENDING, repo_type=repo_type)

    def list_accepted(self, repo: str | Repo, *, repo_type: str | None = None) -> Listing:
        """Who may download: accepted, or granted without asking (then without e-mail and answers)."""
        return self.list(repo, Status.ACCEPTED, repo_type=repo_type)

    def list_rejected(self, repo: str | Repo, *, repo_type: str | None = None) -> Listing:
        """Who was turned away and cannot ask again."""
        return self.list(repo, Status.REJECTED, repo_type=repo_type)

    def list_reset(self, repo: str | Repo, *, repo_type: str | None = None) -> Listing:
        """Who was sent back and has not asked again yet."""
        return self.list(repo, Status.RESET, repo_type=repo_type)

    def head(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> Head:
        """The first page of one of the four lists, in one call; enough to see who is new, never who is gone."""
        where, wanted = parse_repo(repo, repo_type), known_status(status)
        return self._ask(where, lambda setting: read_head(where, wanted, setting))

    # ---- finding -------------------------------------------------------------------------------------------------

    def find(
        self,
        repo: str | Repo,
        user: Who = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> AccessRequest | None:
        """One person's request as it stands now, from whichever list holds it; None when there is none.

        By name the Hub is asked, a call for each list; by id alone the lists are read until it is found. `Incomplete`
        when nobody was found and it cannot be known whether that is all, as where a repo hides names.
        """
        where, target = parse_repo(repo, repo_type), target_of(user, request_id=request_id, user_id=user_id)
        return self._ask(where, lambda setting: finding.find_one(where, target, setting))

    def find_many(self, repo: str | Repo, targets: Iterable[Whom], *, repo_type: str | None = None) -> Found:
        """Several people's requests as they stand now, by their place in `targets`; each list is read once at most."""
        where, sought = parse_repo(repo, repo_type), [targeted(who) for who in targets]
        return self._ask(
            where, lambda setting: finding.find_requests(where, sought, finding.choose_statuses(sought), setting)
        )

    # ---- deciding ------------------------------------------------------------------------------------------------

    def accept(
        self,
        repo: str | Repo,
        user: Who = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """The person may download at once. The Hub sends them no mail, as far as is known."""
        return self._decide(Status.ACCEPTED, None, repo, user, request_id, user_id, repo_type)

    def reject(
        self,
        repo: str | Repo,
        user: Who = None,
        *,
        reason: str | None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """No files, and the person **cannot ask again**; `reason` (200 UTF-16 units at most) is shown to them.

        `reset` is the gentle no: it lets them ask once more.
        """
        return self._decide(Status.REJECTED, reason, repo, user, request_id, user_id, repo_type)

    def cancel(
        self,
        repo: str | Repo,
        user: Who = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """Back to pending. A person who was in loses access; they can do nothing until somebody reviews them again."""
        return self._decide(Status.PENDING, None, repo, user, request_id, user_id, repo_type)

    def reset(
        self,
        repo: str | Repo,
        user: Who = None,
        *,
        reason: str | None = None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """No files, and the person may fill in the form again; the Hub mails them `reason` (200 UTF-16 units at most)."""
        return self._decide(Status.RESET, reason, repo, user, request_id, user_id, repo_type)

    def grant_access(
        self,
        repo: str | Repo,
        user: Who = None,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """Let somebody in who need not have asked. A new entry carries no e-mail and no answers."""
        where, target = parse_repo(repo, repo_type), target_of(user, request_id=request_id, user_id=user_id)
        return self._single(where, lambda setting: deciding.grant_access(where, target, setting))

    def revoke_access(
        self,
        repo: str | Repo,
        user: Who = None,
        *,
        how: How = "reset",
        reason: str | None = None,
        request_id: str | None = None,
        user_id: str | None = None,
        repo_type: str | None = None,
    ) -> Outcome:
        """Take access away; what was downloaded stays downloaded. `how`: reset (may ask again), reject (may not), cancel."""
        return self._decide(revoke_status(how, reason), reason, repo, user, request_id, user_id, repo_type)

    def decide_many(
        self, repo: str | Repo, decisions: Iterable[Decision], *, repo_type: str | None = None
    ) -> Iterator[Outcome]:
        """Any number of decisions, by the hundred; outcomes come as they are known, in no fixed order.

        Raises only for what stops the whole run (no permission, not gated, the Hub away); what was taken and not
        sent comes before as `open`. Requests read before this call are read again, and left alone if they moved.
        """
        check_online()
        where, setting = parse_repo(repo, repo_type), self._setting()
        flow = repos.with_type_hint(bulk.decide_many(where, setting), where, setting)
        return self._run_changing(where, flow, decisions)

    def _decide(
        self,
        to: Status,
        reason: str | None,
        repo: str | Repo,
        user: Who,
        request_id: str | None,
        user_id: str | None,
        repo_type: str | None,
    ) -> Outcome:
        where = parse_repo(repo, repo_type)
        decision = Decision(to, target_of(user, request_id=request_id, user_id=user_id), checked_reason(reason))
        return self._single(where, lambda setting: deciding.decide_one(where, decision, setting))

    def _single(self, repo: Repo, make: Callable[[FlowContext], Flow[Outcome]]) -> Outcome:
        check_online()
        setting = self._setting()
        flow = repos.with_type_hint(make(setting), repo, setting)
        outcome: Outcome = list(self._run_changing(repo, emitted(flow), ()))[-1]
        if isinstance(outcome.error, HubError):
            raise dressed(outcome.error) from None
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

    # ---- gates, people, one's own access -------------------------------------------------------------------------

    def gate(self, repo: str | Repo, *, repo_type: str | None = None) -> Gate:
        """How a repo is gated."""
        where = parse_repo(repo, repo_type)
        return self._ask(where, lambda setting: repos.fetch_gate(where, setting))

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
        """Change the gate. No request moves by it; with False the files are public and the requests are kept.

        Whom the Hub notifies and whether members are gated cannot be read back through the API.
        """
        where = parse_repo(repo, repo_type)
        values = gate_values(mode, org_members_gated, notify_email, notify_mode)
        return self._ask(where, lambda setting: repos.set_gate(where, values, setting))

    def gate_form(self, repo: str | Repo, *, repo_type: str | None = None) -> GateForm:
        """The gate form in the repo's card as it stands now; earlier requests may have answered another one."""
        from ..domain.forms import parse_gate_form  # 0.15 s: only when a form is read

        where = parse_repo(repo, repo_type)
        return parse_gate_form(self._ask(where, lambda setting: repos.fetch_card(where, setting)))

    def access_report(self, repo: str | Repo, *, repo_type: str | None = None) -> Sequence[dict[str, Any]]:
        """The Hub's own report: one answer with all statuses, without answers to the form; keys are the Hub's."""
        where = parse_repo(repo, repo_type)
        return self._ask(where, lambda setting: repos.fetch_report(where, setting))

    def gated_repos(self, owner: str) -> Iterator[Gate]:
        """The gated models, then the gated datasets of a person or an organisation."""
        check_online()
        return self._driver.run(repos.list_gated_repos(owner, self._setting()))

    def profile(self, user: str | Person) -> Profile:
        """A public profile; one call each."""
        name = user.username if isinstance(user, Person) else user
        if not name:
            raise UsageError("that Person has no username, and profiles are found by name only.")
        return self._ask(None, lambda setting: repos.fetch_profile(name, setting))

    def whoami(self) -> Account:
        """Whose token this is. The Hub limits this call heavily: keep the answer."""
        return self._ask(None, repos.fetch_account)

    def ask_access(
        self, repo: str | Repo, answers: Mapping[str, str] | None = None, *, repo_type: str | None = None
    ) -> str:
        """Ask as this token's account, with answers by label; returns what `check_access` says then.

        A person who is pending, in or rejected changes nothing by asking: the Hub answers alike.
        """
        where = parse_repo(repo, repo_type)
        return self._ask(where, lambda setting: repos.ask_access(where, dict(answers or {}), setting))

    def withdraw(self, repo: str | Repo, *, repo_type: str | None = None) -> Outcome:
        """Take one's own pending request back: the Hub deletes it from every list."""
        where = parse_repo(repo, repo_type)
        return self._ask(where, lambda setting: repos.withdraw_request(where, setting))

    def check_access(self, repo: str | Repo, *, repo_type: str | None = None) -> str:
        """One of granted | ask | pending | rejected | reset | sign_in | unknown, for this token's account."""
        where = parse_repo(repo, repo_type)
        return self._ask(where, lambda setting: repos.check_access(where, setting))

    def outlook(self) -> Outlook:
        """How much of the token's calls is left, for progress and ETA."""
        return self._driver.budget.outlook(self._clock.now())

    @property
    def skew(self) -> float | None:
        """Seconds that the Hub's clock is ahead of this one's, as its last answer proved it; None before one told."""
        return self._clock.skew

    def _ask(self, repo: Repo | None, make: Callable[[FlowContext], Flow[T]]) -> T:
        check_online()
        setting = self._setting()
        flow = make(setting)
        return self._driver.result(flow if repo is None else repos.with_type_hint(flow, repo, setting))

    def _setting(self) -> FlowContext:
        return FlowContext(self.endpoint, self._patience, self._clock.now())


def emitted(flow: Flow[Any]) -> Flow[None]:
    """A flow that emits its result."""
    yield EmitValue((yield from flow))
