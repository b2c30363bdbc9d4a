"""The JSON Schema of each document that --json prints; the tests check the output of every command against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hf_gate.core.letters.messages import DeliveryKind
from hf_gate.core.letters.notices import OutgoingMessage
from hf_gate.core.lifecycle import STATUSES
from hf_gate.core.outcomes import OutcomeKind
from hf_gate.core.people.members import MemberRole
from hf_gate.core.records import (
    AttemptRecord,
    AuditRecord,
    ChangeRecord,
    Count,
    ErasureRecord,
    GrantEndRecord,
    HealthRecord,
    OutcomeRecord,
    PersonRecord,
    PlanRecord,
    RepoRecord,
    ReportRecord,
    RepoStatusRecord,
    RequestRecord,
    RunRecord,
    ShownRequest,
    Time,
    keys_of,
)
from hf_gate.grants.service.tables.table_records import (
    ImportMatchesRecord,
    TableEffectRecord,
    TableRecord,
    TableRowRecord,
)
from hf_gate.hub.why.diagnosis import DiagnosisCode, Seen, Step, TokenSeen
from hf_gate.ledger.service.access_report import AccessRecord
from hf_gate.messages.service.letters import SampleRecord
from hf_gate.messages.service.message_records import DestinationRecord, MessageRecord
from hf_gate.privacy.service.person_export import PersonExportRecord
from hf_gate.reports.service.overview import OverviewRecord
from hf_gate.verdicts.plan.model import Plan
from hf_gate.verdicts.records import ComparisonRecord, PolicyRecord, ProblemRecord
from hf_gate.verdicts.service.explanation_records import ExplanationRecord

Schema = Mapping[str, object]

_TEXT: Final[Schema] = {"type": "string"}
_MAYBE: Final[Schema] = {"type": ["string", "null"]}
_COUNT: Final[Schema] = msgspec.json.schema(Count)
_MAYBE_COUNT: Final[Schema] = {"type": ["integer", "null"], "minimum": 0}
_BOOL: Final[Schema] = {"type": "boolean"}
_MAYBE_BOOL: Final[Schema] = {"type": ["boolean", "null"]}
_TIME: Final[Schema] = msgspec.json.schema(Time)
_MAYBE_TIME: Final[Schema] = {"anyOf": [_TIME, {"type": "null"}]}
_REPO_TYPE: Final[Schema] = {"enum": ["model", "dataset"]}
_GATED: Final[Schema] = {"anyOf": [{"const": False}, {"type": "string"}]}
_ONE: Final[Schema] = {"const": 1}


def _object(**properties: object) -> dict[str, object]:
    """Return the schema of an object with exactly these keys; a missing value is null."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _document(**properties: object) -> dict[str, object]:
    return _object(schema_version=_ONE, **properties)


def _array(items: object) -> dict[str, object]:
    return {"type": "array", "items": items}


def _maybe(schema: object) -> dict[str, object]:
    return {"anyOf": [schema, {"type": "null"}]}


def _map(values: object) -> dict[str, object]:
    return {"type": "object", "additionalProperties": values}


def _record(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schema of a record, with nested records inlined."""
    (schema,), parts = msgspec.json.schema_components((kind,), ref_template="{name}")

    def inline(value: Any) -> Any:  # noqa: ANN401 - any part of a schema
        if isinstance(value, list):
            return [inline(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return inline(parts[value["$ref"]]) | {key: each for key, each in value.items() if key != "$ref"}
        return {key: inline(each) for key, each in value.items()}

    found: dict[str, Any] = inline(schema)
    return found | {"required": list(keys_of(kind))}


def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the schemas of a record's fields, for a document with additional fields."""
    found: dict[str, Any] = _record(kind)["properties"]
    return found


_FIELD: Final = _object(
    label=_TEXT,
    type=_TEXT,
    role={"enum": ["purpose", "affiliation", "country", "email", "name", "job", "birth_date", "consent", "other"]},
    options=_array(_object(label=_TEXT, value=_TEXT)),
    required=_MAYBE_BOOL,
    known=_BOOL,
)

_SYNC_RESULTS: Final[dict[str, object]] = {
    "repos": _array(
        _object(
            repo=_TEXT,
            repo_type=_REPO_TYPE,
            kind={"enum": ["quick", "full"]},
            why=_TEXT,
            complete={"type": ["boolean", "null"], "description": "null for a quick sync, which proves nothing"},
            doubts=_array(_TEXT),
            read=_COUNT,
            new=_COUNT,
            again=_COUNT,
            changed=_COUNT,
            moved=_COUNT,
            withdrawn=_COUNT,
            read_on=_BOOL,
            counts=_map(_COUNT),
        )
    ),
    "failed": _array(_object(repo=_TEXT, repo_type=_REPO_TYPE, why=_TEXT)),
}
_MODE: Final[Schema] = {"enum": ["shadow", "enforce"]}
_ROLE: Final[Schema] = {"enum": list(MemberRole)}
_TABLE: Final = _object(
    table=_TEXT,
    file=_MAYBE,
    key=_array(_TEXT),
    rows=_COUNT,
    refused=_MAYBE,
    in_force_since=_MAYBE_TIME,
    pending={"type": ["integer", "null"], "description": "pending requests that were compared with the table"},
    matches={
        "type": ["integer", "null"],
        "description": "pending requests that the table lists with a row that has not expired",
    },
)
_TABLE_EDIT: Final[dict[str, object]] = {
    "table": _TEXT,
    "written": _BOOL,
    **dict.fromkeys(("added", "changed", "removed"), _COUNT),
    "people": _array(_record(TableEffectRecord)),
}
_POLICY_TEST: Final = _object(
    policy=_TEXT,
    file=_TEXT,
    line=_COUNT,
    name=_TEXT,
    passed=_BOOL,
    want=_object(then=_MAYBE, rule=_MAYBE),
    got=_object(then=_TEXT, rule=_TEXT),
    why=_array(_TEXT),
)

SCHEMAS: Final[Mapping[str, Schema]] = {
    "ls": _array(_record(RequestRecord)),
    "show": _document(**_fields(ShownRequest)),
    "person": _array(_record(AttemptRecord)),
    "report-access": _array(_record(AccessRecord)),
    "person-export": _document(**_fields(PersonExportRecord)),
    "person-erase": _document(**_fields(ErasureRecord)),
    "report-overview": _document(**_fields(OverviewRecord)),
    "verbs": _document(
        run=_MAYBE,
        planned=_COUNT,
        **{kind.value: _COUNT for kind in OutcomeKind},
        outcomes=_array(_record(OutcomeRecord)),
    ),
    "repos-ls": _array(_record(RepoRecord)),
    "repos-show": _document(**_fields(RepoRecord)),
    "form-check": _document(
        repo=_MAYBE,
        repo_type=_maybe(_REPO_TYPE),
        gated=_maybe(_GATED),
        errors=_COUNT,
        warnings=_COUNT,
        fields=_array(_FIELD),
        prompt=_MAYBE,
        heading=_MAYBE,
        description=_MAYBE,
        button=_MAYBE,
        eu_disallowed=_MAYBE_BOOL,
        fingerprint=_MAYBE,
        prompt_fingerprint=_MAYBE,
        problems=_array(_object(line=_COUNT, column=_COUNT, code=_TEXT, severity=_TEXT, message=_TEXT, fix=_TEXT)),
    ),
    "report-hub": _array(_record(ReportRecord)),
    "init": _document(
        **_SYNC_RESULTS,
        desk=_TEXT,
        policy=_TEXT,
        rows=_MAYBE_COUNT,
        plan=_MAYBE,
        left_out=_array(_TEXT),
        differing=_array(_TEXT),
        may_decide=_map(_MAYBE_BOOL),
    ),
    "runs-ls": _array(_record(RunRecord)),
    "runs-stop": _document(**_fields(RunRecord), requested={"enum": ["pause", "stop", None]}),
    "ends-ls": _array(_record(GrantEndRecord)),
    "ends-set": _document(
        changed=_COUNT,
        planned=_COUNT,
        ends=_array(_record(GrantEndRecord)),
        left=_map(_COUNT),
        kept=_array(_record(GrantEndRecord)),
    ),
    "assign": _document(assigned_to=_MAYBE, assigned=_COUNT, already=_COUNT),
    "ends-confirm": _document(confirmed=_COUNT, agreed=_COUNT, kinds=_map(_COUNT)),
    "people": _array(_record(PersonRecord)),
    "plans": _array(_record(PlanRecord)),
    "changes": _array(_record(ChangeRecord)),
    "plan": _record(Plan),
    "run": _document(
        synced=_array(
            _object(repo=_TEXT, repo_type=_REPO_TYPE, kind=_TEXT, read=_COUNT, news=_COUNT, complete=_MAYBE_BOOL)
        ),
        **dict.fromkeys(("failed", "refused"), _array(_object(repo=_TEXT, repo_type=_REPO_TYPE, why=_TEXT))),
        **dict.fromkeys(("stopped", "unattended_stopped_by", "run"), _MAYBE),
        **dict.fromkeys(("profiles", "evaluated", "planned"), _COUNT),
        **dict.fromkeys(("counts", "deferred", "ends", "held", "saved", "summary"), _map(_COUNT)),
        clock_skew_s={"type": ["integer", "null"]},
        resumed=_array(_record(RunRecord)),
        halted=_array(_object(run=_TEXT, state=_TEXT, count=_COUNT)),
        done=_array(_object(verb=_TEXT, policy=_MAYBE, rule=_TEXT, count=_COUNT)),
    ),
    "policies": _array(_record(PolicyRecord)),
    "sync": _document(**_SYNC_RESULTS),
    "status": _document(
        endpoint=_TEXT,
        desk=_MAYBE,
        at=_TIME,
        repos=_array(_record(RepoStatusRecord)),
        token=_object(
            ok=_MAYBE_BOOL,
            account=_MAYBE,
            detail=_TEXT,
            remaining=_MAYBE_COUNT,
            quota=_MAYBE_COUNT,
            window_s={"type": ["number", "null"]},
            clock_skew_s={"type": ["integer", "null"]},
        ),
        guards=_array(_object(name=_TEXT, limit=_COUNT, seconds=_COUNT, used=_COUNT, stuck=_BOOL)),
        held=_map(_COUNT),
        refused_tables=_array(_object(table=_TEXT, why=_TEXT, in_force_since=_MAYBE_TIME)),
        held_ends=_COUNT,
        unknown_conditions=_array(_object(repo=_TEXT, repo_type=_TEXT, grants=_COUNT, tables=_array(_TEXT))),
        undelivered=_array(_record(DestinationRecord)),
        saved=_array(_object(policy=_TEXT, by=_TEXT, at=_TEXT)),
        approvals_missing=_array(
            _object(request_id=_maybe(_TEXT), repo=_TEXT, repo_type=_TEXT, at=_TEXT, given=_COUNT, needed=_COUNT)
        ),
        runs=_array(_record(RunRecord)),
        health=_record(HealthRecord),
    ),
    "messages-test": _document(
        ok=_BOOL, results=_array(_object(destination=_TEXT, outcome={"enum": list(DeliveryKind)}, problem=_MAYBE))
    ),
    "messages-ls": _array(_record(MessageRecord)),
    "messages-preview": _document(
        destinations=_array(_record(DestinationRecord)),
        sends_letters=_BOOL,
        samples=_array(_record(SampleRecord)),
        due=_array(_record(MessageRecord)),
    ),
    "messages-mark-sent": _document(messages=_array(_TEXT), reminders=_COUNT),
    "messages-retry": _document(messages=_array(_TEXT)),
    "notice": _record(OutgoingMessage),
    "status-check": _document(**_fields(HealthRecord)),
    "stop": _document(stopped=_BOOL, changed=_BOOL),
    "audit-ls": _array(_record(AuditRecord)),
    "audit-show": _document(
        **_fields(AuditRecord),
        private={"description": "personal data of the entry; null if there is none, or it was erased"},
        commitment=_MAYBE,
        hash=_TEXT,
    ),
    "audit-verify": _document(
        ok=_BOOL,
        chains=_COUNT,
        entries=_COUNT,
        broken=_array(_object(chain=_TEXT, seq=_COUNT, what=_TEXT)),
        not_proved=_array(_TEXT),
    ),
    "audit-checkpoint": _document(
        endpoint=_TEXT,
        at=_TIME,
        heads=_map({"type": "array", "prefixItems": [_COUNT, _TEXT], "minItems": 2, "maxItems": 2}),
        digest=_TEXT,
    ),
    "store-check": _document(store=_TEXT, ok=_BOOL, entries=_COUNT, findings=_array(_TEXT), repaired=_BOOL),
    "store-export": _document(folder=_TEXT, files=_map(_COUNT), left_out=_array(_TEXT)),
    "store-backup": _document(store=_TEXT, file=_TEXT, bytes=_COUNT),
    "store-disarm": _document(store=_TEXT, repos=_array(_TEXT)),
    "store-restore": _document(store=_TEXT, file=_TEXT, replaced=_MAYBE, repos=_array(_TEXT)),
    "store-retention": _document(deleted=_BOOL, requests=_map(_COUNT), days=_map(_COUNT)),
    "store-remove": _document(stores=_array(_TEXT), removed=_array(_TEXT), stays=_array(_TEXT)),
    "policy-check": _document(
        ok=_BOOL,
        errors=_COUNT,
        warnings=_COUNT,
        problems=_array(_record(ProblemRecord)),
        policies=_array(_record(PolicyRecord)),
        tables=_array(_TABLE),
        forms=_array(_TEXT),
    ),
    "policy-lint": _document(warnings=_COUNT, problems=_array(_record(ProblemRecord))),
    "policy-test": _document(ok=_BOOL, passed=_COUNT, failed=_COUNT, tests=_array(_POLICY_TEST)),
    "policy-show": _document(
        repo=_TEXT,
        repo_type=_REPO_TYPE,
        policies=_array(_object(policy=_TEXT, file=_TEXT, mode=_MODE, digest=_TEXT)),
        sentences=_array(_TEXT),
    ),
    "policy-new": _document(policy=_TEXT, like=_TEXT, file=_TEXT, missing=_array(_TEXT)),
    "policy-promote": _document(
        policy=_TEXT,
        digest=_TEXT,
        promoted=_BOOL,
        agreement=_maybe(_object(compared=_COUNT, decided=_COUNT, agreed=_COUNT, unknown=_COUNT)),
        changes=_map(_COUNT),
        repos=_array(_object(where=_TEXT, repo=_TEXT, repo_type=_REPO_TYPE, count=_COUNT)),
    ),
    "policy-compare": _document(**_fields(ComparisonRecord)),
    "explain": _document(**_fields(ExplanationRecord)),
    "why": _document(
        repo=_MAYBE,
        code={"enum": list(DiagnosisCode)},
        certain=_BOOL,
        sentence=_TEXT,
        next=_array(_record(Step)),
        account=_MAYBE,
        token=_maybe(_record(TokenSeen)),
        evidence=_array(_record(Seen)),
        calls=_COUNT,
        also=_array({"$ref": "#"}),
    ),
    "ask": _document(
        repo=_TEXT,
        repo_type=_REPO_TYPE,
        status={"enum": ["granted", "ask", "pending", "rejected", "reset", "sign_in", "unknown"]},
    ),
    "doctor": _document(ok=_BOOL, checks=_array(_object(check=_TEXT, ok=_MAYBE_BOOL, detail=_TEXT, hint=_MAYBE))),
    "table-ls": _array(_record(TableRecord)),
    "table-show": _array(_record(TableRowRecord)),
    "table-edit": _document(**_TABLE_EDIT),
    "table-new": _document(table=_TEXT, file=_MAYBE),
    "table-import": _document(**_TABLE_EDIT, **_fields(ImportMatchesRecord)),
    "demo": _document(
        ok=_BOOL,
        url=_TEXT,
        desk_url=_MAYBE,
        login_url=_MAYBE,
        steps=_array(_object(step=_TEXT, ok=_BOOL, detail=_TEXT)),
    ),
    "hub-serve": _object(
        url=_TEXT,
        pid=_COUNT,
        tokens=_map(_TEXT),
        repos=_array(
            _object(repo=_TEXT, repo_type=_REPO_TYPE, gated=_GATED, **{status.value: _COUNT for status in STATUSES})
        ),
        control=_TEXT,
    ),
    "ui": _object(url=_TEXT, login_url=_TEXT, pid=_COUNT),
    "ui-link": _document(login_url=_TEXT),
    "ui-invite": _document(name=_TEXT, role=_ROLE, link=_TEXT, account=_MAYBE, account_id=_MAYBE),
    "ui-prove": _document(name=_TEXT, role=_ROLE, account=_TEXT, link=_TEXT),
    "ui-revoke": _document(name=_TEXT),
    "ui-members": _document(
        members=_array(
            _object(
                name=_TEXT,
                role=_ROLE,
                repos=_array(_TEXT),
                link=_BOOL,
                link_state=_TEXT,
                account=_MAYBE,
                proven=_BOOL,
            )
        )
    ),
    "ui-sessions": _document(
        sessions=_array(_object(id=_TEXT, member=_TEXT, method=_TEXT, browser=_TEXT, began_at=_TIME, seen_at=_TIME))
    ),
    "ui-end": _document(session=_TEXT),
    "version": _document(version=_TEXT, python=_TEXT),
    "config-path": {
        "type": "object",
        "properties": {"schema_version": _ONE},
        "required": ["schema_version"],
        "additionalProperties": _TEXT,
    },
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
    "table-diff": "table-import",
}


def schema_of(name: str) -> Schema:
    """Return a complete schema, ready for a validator."""
    title = ALIASES.get(name, name)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"hf-gate {name}", **SCHEMAS[title]}
