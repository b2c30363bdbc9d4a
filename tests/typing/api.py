"""`Hub` as a type checker sees it: mypy reads this file, nothing runs it. What must not pass carries `type: ignore` with its code.

Strict mypy complains about an ignore that ignores nothing, so both halves can fail. `test_api_is_covered.py` sees that no public
name or method is left out of this folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, assert_type

import hf_gate
from hf_gate import (
    AccessRequest,
    Account,
    Decision,
    Diagnosis,
    Found,
    Gate,
    GateForm,
    Head,
    Hub,
    Listing,
    Outcome,
    Outlook,
    Person,
    Profile,
    Repo,
    RepoType,
    Status,
    explain,
    explaining,
    load_ipython_extension,
    wait_for_access,
    why,
)

assert_type(hf_gate.__version__, str)

MODEL = Repo(RepoType.MODEL, "acme", "med-7b")


def making() -> None:
    assert_type(Hub(), Hub)
    assert_type(Hub("hf_x", "https://hub.example", timeout=2.0, max_wait=None, reserve=0.5, insecure_http=True), Hub)
    Hub(token=False, endpoint=None, max_wait=30)
    with Hub() as hub:
        assert_type(hub, Hub)
        assert_type(hub.endpoint, str)
        assert_type(hub.outlook(), Outlook)
        assert_type(hub.skew, float | None)
    hub.close()
    Hub("hf_x", "https://hub.example", 2.0)  # type: ignore[call-arg]
    Hub(token=b"hf_x")  # type: ignore[arg-type]
    Hub(retries=3)  # type: ignore[call-arg]


def listing(hub: Hub) -> None:
    assert_type(hub.list("acme/med-7b", "pending"), Listing)
    assert_type(hub.list(MODEL, Status.RESET, repo_type=RepoType.MODEL), Listing)
    assert_type(hub.list_pending("acme/med-7b", repo_type="dataset"), Listing)
    assert_type(hub.list_accepted(MODEL), Listing)
    assert_type(hub.list_rejected(MODEL), Listing)
    assert_type(hub.list_reset(MODEL), Listing)
    assert_type(hub.head(MODEL, "pending"), Head)
    for request in hub.list_pending(MODEL):
        assert_type(request, AccessRequest)
    hub.list_pending("acme/med-7b", "dataset")  # type: ignore[call-arg]
    hub.list_pending(7)  # type: ignore[arg-type]
    hub.list(MODEL)  # type: ignore[call-arg]
    len(hub.list_pending(MODEL))  # type: ignore[arg-type]


def finding(hub: Hub, request: AccessRequest) -> None:
    assert_type(hub.find(MODEL, "mia"), AccessRequest | None)
    assert_type(hub.find(MODEL, request_id="0" * 24), AccessRequest | None)
    assert_type(hub.find_many(MODEL, ["mia", request, Person(username="max")]), Found)
    repr(hub.find(MODEL, "mia").status)  # type: ignore[union-attr]
    hub.find_many(MODEL, [7])  # type: ignore[list-item]


def deciding(hub: Hub, request: AccessRequest, person: Person) -> None:
    assert_type(hub.accept(MODEL, "mia"), Outcome)
    assert_type(hub.accept(MODEL, request), Outcome)
    assert_type(hub.accept(MODEL, person), Outcome)
    assert_type(hub.accept("acme/med-7b", user_id="0" * 24, repo_type="model"), Outcome)
    assert_type(hub.reject(MODEL, "mia", reason="No."), Outcome)
    assert_type(hub.reject(MODEL, "mia", reason=None), Outcome)
    assert_type(hub.cancel(MODEL, request_id="0" * 24), Outcome)
    assert_type(hub.reset(MODEL, "mia"), Outcome)
    assert_type(hub.reset(MODEL, "mia", reason="Say more."), Outcome)
    assert_type(hub.grant_access(MODEL, "mia"), Outcome)
    assert_type(hub.revoke_access(MODEL, "mia"), Outcome)
    assert_type(hub.revoke_access(MODEL, "mia", how="reject", reason="No."), Outcome)
    hub.reject(MODEL, "mia")  # type: ignore[call-arg]
    hub.reject(MODEL, "mia", "No.")  # type: ignore[call-arg]
    hub.accept(MODEL, "mia", reason="Welcome.")  # type: ignore[call-arg]
    hub.cancel(MODEL, "mia", reason="Wait.")  # type: ignore[call-arg]
    hub.accept(MODEL, 7)  # type: ignore[arg-type]
    hub.accept(MODEL, ["mia", "max"])  # type: ignore[arg-type]
    hub.accept()  # type: ignore[call-arg]
    hub.revoke_access(MODEL, "mia", how="remove")  # type: ignore[arg-type]


def deciding_many(hub: Hub, requests: Sequence[AccessRequest]) -> None:
    assert_type(hub.decide_many(MODEL, []), Iterator[Outcome])
    hub.decide_many(MODEL, (Decision.accept(request) for request in hub.list_pending(MODEL)))
    hub.decide_many(MODEL, map(Decision.accept, requests), repo_type="model")
    hub.decide_many(MODEL, ["mia"])  # type: ignore[list-item]
    hub.decide_many(MODEL, requests)  # type: ignore[arg-type]
    hub.decide_many(MODEL, Decision.accept("mia"))  # type: ignore[arg-type]


def gates(hub: Hub) -> None:
    assert_type(hub.gate(MODEL), Gate)
    assert_type(hub.set_gate(MODEL, "manual"), Gate)
    assert_type(hub.set_gate(MODEL, mode=False, org_members_gated=True), Gate)
    assert_type(hub.set_gate(MODEL, notify_email="a@example.org", notify_mode="real-time"), Gate)
    assert_type(hub.gate_form(MODEL), GateForm)
    assert_type(hub.access_report(MODEL), Sequence[dict[str, Any]])
    assert_type(hub.gated_repos("acme"), Iterator[Gate])
    assert_type(hub.org_members("acme"), Iterator[Person])
    hub.set_gate(MODEL, True)  # type: ignore[arg-type]
    hub.set_gate(MODEL, "closed")  # type: ignore[arg-type]
    hub.set_gate(MODEL, None)  # type: ignore[arg-type]
    hub.set_gate(MODEL, notify_mode="daily")  # type: ignore[arg-type]
    hub.gated_repos(MODEL)  # type: ignore[arg-type]


def people_and_oneself(hub: Hub, person: Person) -> None:
    assert_type(hub.profile("mia"), Profile)
    assert_type(hub.profile(person), Profile)
    assert_type(hub.whoami(), Account)
    assert_type(hub.ask_access(MODEL), str)
    assert_type(hub.ask_access(MODEL, {"Purpose": "to sleep"}, repo_type="model"), str)
    assert_type(hub.withdraw(MODEL), Outcome)
    assert_type(hub.check_access(MODEL), str)
    hub.ask_access(MODEL, {"I agree": True})  # type: ignore[dict-item]
    hub.ask_access(MODEL, ["to sleep"])  # type: ignore[arg-type]
    hub.withdraw(MODEL, "mia")  # type: ignore[call-arg]
    hub.profile(None)  # type: ignore[arg-type]


def access(error: OSError) -> None:
    assert_type(why(MODEL, "config.json", token=True, endpoint=None), Diagnosis)
    assert_type(why(), Diagnosis)
    assert_type(explain(error, look=True), Diagnosis)
    assert_type(wait_for_access(MODEL, 60.0, on_wait=load_ipython_extension), Diagnosis)
    with explaining():
        pass
    why(1)  # type: ignore[arg-type]
    explain(1)  # type: ignore[arg-type]
    wait_for_access(MODEL, "1h")  # type: ignore[arg-type]
