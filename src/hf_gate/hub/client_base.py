"""What the blocking and the async client share: how they are made, what an operation is, and checks of arguments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from msgspec import Struct

from hf_gate import __version__
from hf_gate.base.ids import Person, Repo, parse_repo
from hf_gate.core.lifecycle import STATUSES, Status
from hf_gate.core.outcomes import Outcome
from hf_gate.core.requests import AccessRequest, Decision, Target, check_reason, target_of
from hf_gate.errors import HubError, InvalidStatus, UsageError
from hf_gate.hub.drivers.budget import budget_for
from hf_gate.hub.drivers.clock import clock_for
from hf_gate.hub.drivers.transport import HubConnection, build_user_agent
from hf_gate.hub.protocol.flows import repos, single_decision
from hf_gate.hub.protocol.flows.calls import Flow, FlowContext, RetryPolicy, T
from hf_gate.hub.protocol.messages import EmitValue
from hf_gate.hub.protocol.pacing import Outlook

from .credentials import check_channel, check_online, resolve_endpoint, resolve_token
from .errors import to_huggingface_error

if TYPE_CHECKING:
    from hf_gate.core.forms.forms import GateForm

L = TypeVar("L")
FlowMaker = Callable[[Repo, FlowContext], Flow[T]]
UserRef = str | Person | AccessRequest | None
RevocationMode = Literal["reset", "reject", "cancel"]
REVOCATION_STATUS: dict[str, Status] = {"reset": Status.RESET, "reject": Status.REJECTED, "cancel": Status.PENDING}
TargetRef = str | Person | AccessRequest | Target
UNSET: Any = object()
_LISTING_METHODS = ("list_pending", "list_accepted", "list_rejected", "list_reset")


class Operation(Struct, Generic[T], frozen=True):
    """One call of a client, before it runs. `changed`: the repo whose requests it may change."""

    flow: Flow[T]
    changed: Repo | None = None


class HubBase(ABC, Generic[L]):
    """A client without its calls. `L` is the type of its listings."""

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
        if not timeout > 0:
            raise UsageError(f"timeout={timeout!r} is not a positive number of seconds.")
        origin = resolve_endpoint(endpoint)
        secret = resolve_token(token)
        check_channel(origin, secret, insecure_http=insecure_http)
        connection = HubConnection(origin, clock_for(origin), timeout, secret, build_user_agent(__version__))
        self.endpoint = origin
        self._clock = connection.clock
        self._patience = RetryPolicy(max_wait)
        self._has_token = secret is not None
        self._budget = budget_for(origin, secret.fingerprint if secret else "", reserve)
        self._budget.allow_probe(self._clock.now())
        self._open(connection, max_wait)

    def __init_subclass__(cls, *, listing: str | None = None) -> None:
        """Let `help` and annotations of the methods that list requests show the class of the client's listings."""
        if listing is None:  # a class of a user of the library
            return
        for name in _LISTING_METHODS:
            setattr(cls, name, _make_listing_method(cls, name, listing))

    @abstractmethod
    def _open(self, connection: HubConnection, max_wait: float | None) -> None:
        """Make the driver of the calls."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.endpoint!r})"

    @abstractmethod
    def list(self, repo: str | Repo, status: str, *, repo_type: str | None = None) -> L:
        """List the requests of a status, lazily and each once, in the Hub's order (usually newest first)."""

    def list_pending(self, repo: str | Repo, *, repo_type: str | None = None) -> L:
        """List the requests that wait for a review."""
        return self.list(repo, Status.PENDING, repo_type=repo_type)

    def list_accepted(self, repo: str | Repo, *, repo_type: str | None = None) -> L:
        """List the people with access: accepted, or granted without a request (then without e-mail address and
        answers).
        """
        return self.list(repo, Status.ACCEPTED, repo_type=repo_type)

    def list_rejected(self, repo: str | Repo, *, repo_type: str | None = None) -> L:
        """List the rejected requests; these people cannot ask again."""
        return self.list(repo, Status.REJECTED, repo_type=repo_type)

    def list_reset(self, repo: str | Repo, *, repo_type: str | None = None) -> L:
        """List the requests that were sent back; these people have not asked again yet."""
        return self.list(repo, Status.RESET, repo_type=repo_type)

    def outlook(self) -> Outlook:
        """Return the state of the token's rate limits, for progress displays."""
        return self._budget.outlook(self._clock.now())

    @property
    def skew(self) -> float | None:
        """Seconds that the Hub's clock is ahead of this machine's, as proved by its last answer; None before the first
        proof.
        """
        return self._clock.skew

    def _start(self, repo: str | Repo, repo_type: str | None, make: FlowMaker[T]) -> tuple[Repo, Flow[T]]:
        """Return the parsed repo and a flow for it; raise before anything is sent if the Hub must not be called."""
        target = parse_repo(repo, repo_type, endpoint=self.endpoint)
        context = self._new_context()
        check_online()
        return target, repos.with_type_hint(make(target, context), target, context)

    def _operation(self, repo: str | Repo, repo_type: str | None, make: FlowMaker[T]) -> Operation[T]:
        return Operation(self._start(repo, repo_type, make)[1])

    def _change(self, repo: str | Repo, repo_type: str | None, make: FlowMaker[Outcome]) -> Operation[Outcome]:
        target, flow = self._start(repo, repo_type, make)
        return Operation(flow, target)

    def _decision(
        self,
        to: Status,
        reason: str | None,
        repo: str | Repo,
        user: UserRef,
        request_id: str | None,
        user_id: str | None,
        repo_type: str | None,
    ) -> Operation[Outcome]:
        decision = Decision(to, target_of(user, request_id=request_id, user_id=user_id), check_reason(reason))
        return self._change(
            repo, repo_type, lambda target, context: single_decision.decide_one(target, decision, context)
        )

    def _new_context(self) -> FlowContext:
        return FlowContext(self.endpoint, self._patience, self._clock.now(), has_token=self._has_token)


# ---- arguments and results -------------------------------------------------------------------------------------------


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


def fetch_form(repo: Repo, context: FlowContext) -> Flow[GateForm]:
    """Return the current gate form of the repo's card."""
    from hf_gate.core.forms.forms import parse_gate_form  # imported on first use: it takes 0.15 s

    return parse_gate_form((yield from repos.fetch_card(repo, context)))


def emit_result(flow: Flow[Any]) -> Flow[None]:
    """Run a flow, then emit its result as a value."""
    yield EmitValue((yield from flow))


def last_outcome(outcomes: list[Any]) -> Any:
    """Return the last outcome; raise its error if it has one."""
    outcome: Outcome = outcomes[-1]
    if isinstance(outcome.error, HubError):
        raise to_huggingface_error(outcome.error) from outcome.error.__cause__
    if outcome.error is not None:
        raise outcome.error
    return outcome


def _make_listing_method(cls: type, name: str, listing: str) -> Callable[..., Any]:
    make = getattr(HubBase, name)

    @wraps(make)
    def call(hub: Any, /, *args: Any, **named: Any) -> Any:
        return make(hub, *args, **named)

    call.__qualname__ = f"{cls.__name__}.{name}"
    shown = signature(make)
    call.__annotations__ = make.__annotations__ | {"return": listing}
    call.__signature__ = shown.replace(return_annotation=listing)  # type: ignore[attr-defined]
    return call


def show_result(call: Callable[..., Any], make: Callable[..., Operation[Any]]) -> None:
    """Let `help` and annotations show the result of an operation as what a call returns."""
    shown = signature(make)
    result = str(shown.return_annotation).removeprefix("Operation[").removesuffix("]")
    call.__annotations__ = make.__annotations__ | {"return": result}
    call.__signature__ = shown.replace(return_annotation=result)  # type: ignore[attr-defined]
