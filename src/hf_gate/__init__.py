"""Manages access requests of gated repos on the Hugging Face Hub.

```python
from hf_gate import Decision, Hub

with Hub() as hub:
    requests = list(hub.list_pending("datasets/you/your-data"))
    for outcome in hub.decide_many("datasets/you/your-data", [Decision.accept(one) for one in requests]):
        print(outcome.user, outcome.kind)
```

`AsyncHub` has the same methods for an event loop, and `hf_gate.testing.LocalHub` is a Hub for tests. Each public name
is loaded on first access, so that `hf-gate version` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hf_gate.base.ids import Person, Repo, RepoType, parse_repo
    from hf_gate.core.completeness import Completeness
    from hf_gate.core.forms.forms import GateForm, parse_gate_form
    from hf_gate.core.lifecycle import Status
    from hf_gate.core.outcomes import Outcome, OutcomeKind
    from hf_gate.core.people.accounts import Account, Gate, Profile, TokenRights
    from hf_gate.core.requests import AccessRequest, Decision
    from hf_gate.hub.async_client import AsyncHub
    from hf_gate.hub.async_listing import AsyncListing
    from hf_gate.hub.client import Hub
    from hf_gate.hub.hf_functions import (
        accept_access_request,
        cancel_access_request,
        grant_access,
        list_accepted_access_requests,
        list_pending_access_requests,
        list_rejected_access_requests,
        list_reset_access_requests,
        reject_access_request,
        reset_access_request,
        revoke_access,
    )
    from hf_gate.hub.listing import Listing
    from hf_gate.hub.protocol.codec import Quarantined
    from hf_gate.hub.protocol.flows.listing import Head
    from hf_gate.hub.protocol.flows.lookup import Found
    from hf_gate.hub.protocol.pacing import Outlook
    from hf_gate.hub.why.diagnosis import Diagnosis
    from hf_gate.hub.why.questions import explain, explaining, load_ipython_extension, wait_for_access, why

    from .errors import (
        BadRequest,
        ForeignOrigin,
        Guarded,
        HfGateError,
        HubError,
        HubUnavailable,
        Incomplete,
        InsecureEndpoint,
        InvalidRepo,
        InvalidStatus,
        InvalidTarget,
        NotAllowed,
        NotGated,
        Offline,
        OutcomeUnknown,
        PersonNotFound,
        ReasonTooLong,
        RepoMoved,
        RepoNotFound,
        RequestNotFound,
        SpaceNotSupported,
        Stale,
        UnexpectedAnswer,
        UsageError,
        WrongRepoType,
    )


__version__: Final[str] = "0.1.0"  # the same as in pyproject.toml; a house test compares them

__all__ = [
    "AccessRequest",
    "Account",
    "AsyncHub",
    "AsyncListing",
    "BadRequest",
    "Completeness",
    "Decision",
    "Diagnosis",
    "ForeignOrigin",
    "Found",
    "Gate",
    "GateForm",
    "Guarded",
    "Head",
    "HfGateError",
    "Hub",
    "HubError",
    "HubUnavailable",
    "Incomplete",
    "InsecureEndpoint",
    "InvalidRepo",
    "InvalidStatus",
    "InvalidTarget",
    "Listing",
    "NotAllowed",
    "NotGated",
    "Offline",
    "Outcome",
    "OutcomeKind",
    "OutcomeUnknown",
    "Outlook",
    "Person",
    "PersonNotFound",
    "Profile",
    "Quarantined",
    "ReasonTooLong",
    "Repo",
    "RepoMoved",
    "RepoNotFound",
    "RepoType",
    "RequestNotFound",
    "SpaceNotSupported",
    "Stale",
    "Status",
    "TokenRights",
    "UnexpectedAnswer",
    "UsageError",
    "WrongRepoType",
    "__version__",
    "accept_access_request",
    "cancel_access_request",
    "explain",
    "explaining",
    "grant_access",
    "list_accepted_access_requests",
    "list_pending_access_requests",
    "list_rejected_access_requests",
    "list_reset_access_requests",
    "load_ipython_extension",
    "parse_gate_form",
    "parse_repo",
    "reject_access_request",
    "reset_access_request",
    "revoke_access",
    "wait_for_access",
    "why",
]

# Every public name is listed twice: under `if TYPE_CHECKING:` for type checkers, and in `__all__`. `_HOMES` has the
# module of each: errors, unless it is named here. tests/house/test_exports.py compares them.
_HOMES: Final = {name: "hf_gate.errors" for name in __all__ if name != "__version__"} | {
    name: home
    for home, names in {
        "hf_gate.core.people.accounts": ("Account", "Gate", "Profile", "TokenRights"),
        "hf_gate.core.completeness": ("Completeness",),
        "hf_gate.core.forms.forms": ("GateForm", "parse_gate_form"),
        "hf_gate.base.ids": ("Person", "Repo", "RepoType", "parse_repo"),
        "hf_gate.core.lifecycle": ("Status",),
        "hf_gate.core.outcomes": ("Outcome", "OutcomeKind"),
        "hf_gate.core.requests": ("AccessRequest", "Decision"),
        "hf_gate.hub.async_client": ("AsyncHub",),
        "hf_gate.hub.client": ("Hub",),
        "hf_gate.hub.hf_functions": (
            name for name in __all__ if name.endswith(("_access_request", "_requests", "grant_access", "revoke_access"))
        ),
        "hf_gate.hub.async_listing": ("AsyncListing",),
        "hf_gate.hub.listing": ("Listing",),
        "hf_gate.hub.why.diagnosis": ("Diagnosis",),
        "hf_gate.hub.why.questions": ("explain", "explaining", "load_ipython_extension", "wait_for_access", "why"),
        "hf_gate.hub.protocol.codec": ("Quarantined",),
        "hf_gate.hub.protocol.flows.listing": ("Head",),
        "hf_gate.hub.protocol.flows.lookup": ("Found",),
        "hf_gate.hub.protocol.pacing": ("Outlook",),
    }.items()
    for name in names
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
