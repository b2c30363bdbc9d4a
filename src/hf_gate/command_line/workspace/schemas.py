"""The JSON Schema of each document that --json prints, from its record; the tests check the output of every command
against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hf_gate.automation.records import StopRecord, TurnResultRecord
from hf_gate.command_line.version import VersionRecord
from hf_gate.core.letters.notices import OutgoingMessage
from hf_gate.core.records import (
    AttemptRecord,
    AuditRecord,
    ChangeRecord,
    ErasureRecord,
    GrantEndRecord,
    HaltRecord,
    HealthRecord,
    OutcomesRecord,
    PersonRecord,
    PlanRecord,
    RepoRecord,
    RequestRecord,
    RunRecord,
    ShownRequest,
)
from hf_gate.grants.records import ChangedEndsRecord
from hf_gate.grants.service.tables.table_records import (
    TableEditRecord,
    TableImportRecord,
    TableRecord,
    TableRowRecord,
)
from hf_gate.hub.why.diagnosis import DiagnosisRecord
from hf_gate.ledger.records import CheckpointRecord, SealedEntryRecord, VerificationRecord
from hf_gate.ledger.service.access_report import AccessRecord
from hf_gate.localhub.records import ServedHub
from hf_gate.members.records import (
    DeskRecord,
    KeysRecord,
    MembersRecord,
)
from hf_gate.messages.records import (
    ChangedMessagesRecord,
    MessageRecord,
    NoticeTestsRecord,
    PreviewRecord,
)
from hf_gate.privacy.service.person_export import PersonExportRecord
from hf_gate.reports.records import StatusRecord
from hf_gate.reports.service.overview import OverviewRecord
from hf_gate.requests.records import AccessStateRecord, FormRecord, SyncRecord
from hf_gate.verdicts.plan.model import Plan
from hf_gate.verdicts.records import (
    NewPolicyRecord,
    PolicyCheckRecord,
    PolicyRecord,
    PolicyTestsRecord,
    PromotionRecord,
    RepoRulesRecord,
)
from hf_gate.verdicts.service.explanation_records import ExplanationRecord
from hf_gate.workspace.records import (
    DemoRecord,
    DisarmRecord,
    DoctorRecord,
    InitRecord,
    RemovalRecord,
    RestoreRecord,
    RetentionRecord,
    StoreCheckRecord,
    StoreCopyRecord,
    StoreExportRecord,
)

DOCUMENTS: Final[Mapping[str, Any]] = {
    "ls": list[RequestRecord],
    "show": ShownRequest,
    "person": list[AttemptRecord],
    "report-access": list[AccessRecord],
    "person-export": PersonExportRecord,
    "person-erase": ErasureRecord,
    "report-overview": OverviewRecord,
    "verbs": OutcomesRecord,
    "repos-ls": list[RepoRecord],
    "repos-show": RepoRecord,
    "form-check": FormRecord,
    "init": InitRecord,
    "runs-ls": list[RunRecord],
    "runs-stop": HaltRecord,
    "ends-ls": list[GrantEndRecord],
    "ends-set": ChangedEndsRecord,
    "people": list[PersonRecord],
    "plans": list[PlanRecord],
    "changes": list[ChangeRecord],
    "plan": Plan,
    "run": TurnResultRecord,
    "policies": list[PolicyRecord],
    "sync": SyncRecord,
    "status": StatusRecord,
    "messages-test": NoticeTestsRecord,
    "messages-ls": list[MessageRecord],
    "messages-preview": PreviewRecord,
    "messages-mark-sent": ChangedMessagesRecord,
    "messages-retry": ChangedMessagesRecord,
    "notice": OutgoingMessage,
    "status-check": HealthRecord,
    "stop": StopRecord,
    "audit-ls": list[AuditRecord],
    "audit-show": SealedEntryRecord,
    "audit-verify": VerificationRecord,
    "audit-checkpoint": CheckpointRecord,
    "store-check": StoreCheckRecord,
    "store-export": StoreExportRecord,
    "store-backup": StoreCopyRecord,
    "store-disarm": DisarmRecord,
    "store-restore": RestoreRecord,
    "store-retention": RetentionRecord,
    "store-remove": RemovalRecord,
    "policy-check": PolicyCheckRecord,
    "policy-test": PolicyTestsRecord,
    "policy-show": RepoRulesRecord,
    "policy-new": NewPolicyRecord,
    "policy-promote": PromotionRecord,
    "explain": ExplanationRecord,
    "why": DiagnosisRecord,
    "ask": AccessStateRecord,
    "doctor": DoctorRecord,
    "table-ls": list[TableRecord],
    "table-show": list[TableRowRecord],
    "table-edit": TableEditRecord,
    "table-import": TableImportRecord,
    "demo": DemoRecord,
    "hub-serve": ServedHub,
    "ui": DeskRecord,
    "members-ls": MembersRecord,
    "members-add": MembersRecord,
    "members-remove": MembersRecord,
    "keys-ls": KeysRecord,
    "keys-add": KeysRecord,
    "keys-remove": KeysRecord,
    "version": VersionRecord,
}
ALIASES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "accept",
            "reject",
            "reset",
            "cancel",
            "grant",
            "revoke",
            "review",
            "apply",
            "runs-show",
        ),
        "verbs",
    ),
    **dict.fromkeys(("queue", "bulk"), "ls"),
    "person-show": "person",
    "person-ls": "people",
    "withdraw": "ask",
    **dict.fromkeys(("undo", "runs-undo", "runs-retry"), "plan"),
    **dict.fromkeys(("table-add", "table-remove"), "table-edit"),
}
_WITHOUT_VERSION: Final = frozenset({"hub-serve", "ui"})
"""The first lines of programs that keep running."""


def schema_of(name: str) -> dict[str, object]:
    """Return a complete schema, ready for a validator."""
    title = ALIASES.get(name, name)
    (reference,), parts = msgspec.json.schema_components((DOCUMENTS[title],), ref_template="{name}")
    schema = _inline(reference, parts)
    record = schema.get("items", schema)
    if record is schema and title not in _WITHOUT_VERSION:
        record["properties"] = {"schema_version": {"const": 1}, **record.get("properties", {})}
    record["required"] = list(record["properties"])
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, **schema, "title": f"hf-gate {name}"}


def _inline(value: Any, parts: Mapping[str, Any], inside: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - any part
    """Return a part of a schema with the records that it refers to in place; a reference to the document stays one."""
    if isinstance(value, list):
        return [_inline(each, parts, inside) for each in value]
    if not isinstance(value, dict):
        return value
    name = value.get("$ref")
    if name in inside:
        return {"$ref": "#"}
    rest = {key: _inline(each, parts, inside) for key, each in value.items() if key != "$ref"}
    if name is None and rest.get("additionalProperties") is False:
        rest["required"] = list(rest["properties"])  # a record has every key, also one with a default value
    return rest if name is None else _inline(parts[name], parts, (*inside, name)) | rest
